"""Tells ECS that this task is at work, so that scaling in takes another one; see "Amazon ECS task scale-in protection endpoint" in its guide."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import httpx2

from escriba.ports import Meter

_MINUTES, _AGAIN = 30, 600  # ECS forgets it after so many minutes; seconds after which it is told again


class Protection:
    """Does nothing where no agent of ECS is there to be told."""

    def __init__(self, environ: Mapping[str, str], meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        agent = environ.get("ECS_AGENT_URI", "")
        self._url = f"{agent}/task-protection/v1/state" if agent else ""
        self._meter, self._clock = meter, clock
        self._told: tuple[bool, float] = (False, -_AGAIN)

    def __call__(self, *, busy: bool) -> None:
        was, at = self._told
        if not self._url or (busy == was and (not busy or self._clock() - at < _AGAIN)):
            return
        body = {"ProtectionEnabled": True, "ExpiresInMinutes": _MINUTES} if busy else {"ProtectionEnabled": False}
        try:
            answer = httpx2.put(self._url, json=body, timeout=5.0, trust_env=False)
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            # ECS may take the task then: it is told to stop first, and gives its pages back.
            self._meter.log("warning", "task not protected", busy=busy, error=type(error).__name__)
            return
        self._told = (busy, self._clock())
