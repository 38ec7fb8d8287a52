"""Escriba: documents in, Markdown, JSON and text out; every page accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from escriba.document import Document
    from escriba.policy import Policy

__all__ = ["read"]


def read(source: Path | str | bytes, *, policy: Policy | None = None, password: str = "") -> Document:
    """Read one document (a path or its bytes) through the whole pipeline in memory, with no AWS.

    `password` opens an encrypted PDF; several are tried in turn when each stands on a line of its own.
    Pages that could not be read stand in the result as QUARANTINED, with the reason. Raises the `errors.PermanentError` that says
    why the document was rejected as a whole, and OSError for an unreadable path.
    """
    from escriba.local.in_memory import read as read_in_memory  # noqa: PLC0415  (import escriba must stay light)

    return read_in_memory(source, policy=policy, password=password)
