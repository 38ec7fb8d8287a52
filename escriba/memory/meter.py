"""A meter that keeps what was counted and logged."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class MemoryMeter:
    """Implements `ports.Meter`; `counts` by metric name, `events` as `(level, event, fields)`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self._lock = threading.Lock()

    def count(self, metric: str, value: float = 1, *, unit: str = "Count", **dimensions: str) -> None:
        with self._lock:
            self.counts[metric] += value  # type: ignore[assignment]

    def log(self, level: str, event: str, **fields: Any) -> None:
        self.events.append((level, event, fields))

    def flush(self) -> None:
        pass
