"""Passwords in memory."""

from __future__ import annotations

from escriba.errors import NotFound


class MemorySecrets:
    """Implements `ports.Secrets`."""

    def __init__(self, secrets: dict[str, str] | None = None) -> None:
        self._secrets = secrets or {}

    def get(self, reference: str) -> str:
        if reference not in self._secrets:
            raise NotFound("fetching a secret: it is not there")
        return self._secrets[reference]
