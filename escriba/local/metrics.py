"""CloudWatch's metrics of a local run: what functions emit and what AWS would measure, kept by the minute."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from escriba.ports import Clock

MINUTE = 60
Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name, and sorted dimensions: CloudWatch takes metrics of other dimensions for other metrics."""


@dataclass
class _Minute:
    total: float = 0.0
    greatest: float = float("-inf")


class MetricStore:
    """Thread-safe. Times are seconds since 1970."""

    def __init__(self) -> None:
        self._minutes: dict[Key, dict[int, _Minute]] = {}
        self._lock = threading.Lock()

    def add(self, namespace: str, name: str, value: float, at: float, **dimensions: str) -> None:
        """One observation."""
        key = (namespace, name, tuple(sorted(dimensions.items())))
        with self._lock:
            minute = self._minutes.setdefault(key, {}).setdefault(int(at // MINUTE), _Minute())
            minute.total += value
            minute.greatest = max(minute.greatest, value)

    def add_emf(self, lines: Iterable[str], at: float | None = None) -> None:
        """The metrics of log lines in CloudWatch's embedded metric format, at their own time or at another; other lines are passed over."""
        for line in lines:
            document: dict[str, Any] = json.loads(line) if line.startswith('{"_aws"') else {}
            for directive in document.get("_aws", {}).get("CloudWatchMetrics", ()):
                moment = document["_aws"]["Timestamp"] / 1000 if at is None else at
                for names in directive["Dimensions"]:
                    for metric in directive["Metrics"]:
                        for value in document[metric["Name"]]:
                            self.add(directive["Namespace"], metric["Name"], value, moment, **{name: document[name] for name in names})

    def keys(self) -> set[Key]:
        """Every metric that was ever observed."""
        with self._lock:
            return set(self._minutes)

    def statistic(self, key: Key, statistic: Literal["Sum", "Maximum"], since: float, until: float) -> float | None:
        """Over the minutes from `since` (inclusive) to `until` (exclusive); None where nothing was observed."""
        minutes = self._minutes.get(key)
        if not minutes:
            return None
        found = [m for n in range(int(since // MINUTE), int(until // MINUTE)) if (m := minutes.get(n)) is not None]
        if not found:
            return None
        return sum(m.total for m in found) if statistic == "Sum" else max(m.greatest for m in found)


class MeasuringMeter:
    """Implements `ports.Meter`: metrics into a store at a clock's time, log lines into a list of (level, event, fields)."""

    def __init__(self, store: MetricStore, clock: Clock, namespace: str) -> None:
        self._store, self._clock, self._namespace = store, clock, namespace
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def count(self, metric: str, value: float = 1, *, unit: str = "Count", **dimensions: str) -> None:
        self._store.add(self._namespace, metric, value, self._clock.now().timestamp(), **dimensions)

    def log(self, level: str, event: str, **fields: Any) -> None:
        self.events.append((level, event, fields))

    def flush(self) -> None:
        pass
