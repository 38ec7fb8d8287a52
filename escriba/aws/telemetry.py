"""Log lines and metrics through Powertools: JSON lines and CloudWatch's embedded metric format. Never document text."""

from __future__ import annotations

import json
import logging
import sys
import threading
from pathlib import Path
from typing import IO, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics

from escriba.alarms import OURS

SERVICE = "escriba"
_streams: dict[str, IO[str]] = {}
_lock = threading.Lock()


class PowertoolsMeter:
    """Implements `ports.Meter`, for any number of threads; several may share one file."""

    def __init__(self, file: str = "", namespace: str = OURS) -> None:
        """`namespace` is CloudWatch's for the metrics. `file` takes the lines that Lambda would read from standard output; empty means standard output."""
        self._stream, self._namespace = _stream(file), namespace
        self._logger = Logger(service=SERVICE, stream=self._stream, level="INFO", use_rfc3339=True)
        for handler in self._logger.handlers:
            # Powertools keeps one logger a service and process: where it writes is for the latest to say.
            if isinstance(handler, logging.StreamHandler):
                handler.stream = self._stream  # setStream would flush the one before, which may be closed
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}

    def count(self, metric: str, value: float = 1, *, unit: str = "Count", **dimensions: str) -> None:
        key = (metric, unit, tuple(sorted(dimensions.items())))
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + value

    def log(self, level: str, event: str, **fields: Any) -> None:
        getattr(self._logger, level)(event, extra=fields)

    def flush(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
        for (metric, unit, dimensions), value in counts.items():
            # One document a set of dimensions: CloudWatch applies a document's dimensions to all of its metrics.
            metrics = EphemeralMetrics(namespace=self._namespace)
            for name, content in dimensions:
                metrics.add_dimension(name=name, value=content)
            metrics.add_metric(name=metric, unit=unit, value=value)
            line = json.dumps(metrics.serialize_metric_set(), separators=(",", ":"))
            with _lock:
                self._stream.write(line + "\n")
                self._stream.flush()


def _stream(file: str) -> IO[str]:
    if not file:
        return sys.stdout
    with _lock:
        if file not in _streams or _streams[file].closed:
            _streams[file] = Path(file).open("a", encoding="utf-8")  # noqa: SIM115  (kept open for the process)
        return _streams[file]
