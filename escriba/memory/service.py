"""A service whose tasks are numbers that a test or a simulation sets."""

from __future__ import annotations

from escriba.ports import Tasks


class MemoryService:
    """Implements `ports.Service`."""

    def __init__(self, wanted: int = 0, running: int = 0) -> None:
        self.wanted, self.running = wanted, running

    def tasks(self) -> Tasks:
        return Tasks(self.wanted, self.running)
