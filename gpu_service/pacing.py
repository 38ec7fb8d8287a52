"""How many questions a vision server is asked at once, from what it says of itself.

Enough that its batch is never short of work, not so many that they push each other out of its KV cache: a few shall be waiting at the server, and no more.
Names of metrics: vLLM's documentation, "Production Metrics".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from gpu_service.admission import Admission

_LINE = re.compile(r"^(?:vllm|llamacpp):(?P<name>\w+)(?:\{[^}]*\})? (?P<value>[0-9.eE+-]+)$", re.MULTILINE)
_RUNNING = ("num_requests_running", "requests_processing")  # as vLLM and as llama.cpp call it
_WAITING = ("num_requests_waiting", "requests_deferred")
_FULL, _ROOMY = 0.95, 0.85  # shares of the KV cache
_BACK, _STEP = 0.8, 0.125


@dataclass(frozen=True)
class Load:
    """What a server says of itself: questions in its batch and before it, the share (0 to 1) of its KV cache in use, and how often it threw one out again."""

    running: int
    waiting: int
    cache: float = 0.0
    preemptions: int = 0


def read_load(metrics: str) -> Load | None:
    """The load in a page of metrics in Prometheus' text form, engines of one server added up; None when it says nothing of requests."""
    values: dict[str, list[float]] = {}
    for found in _LINE.finditer(metrics):
        values.setdefault(found["name"], []).append(float(found["value"]))
    running = next((values[name] for name in _RUNNING if name in values), None)
    waiting = next((values[name] for name in _WAITING if name in values), None)
    if running is None or waiting is None:
        return None
    return Load(
        running=round(sum(running)),
        waiting=round(sum(waiting)),
        cache=max(values.get("kv_cache_usage_perc", [0.0])),
        preemptions=round(sum(values.get("num_preemptions_total", [0.0]))),
    )


@dataclass(frozen=True)
class Bounds:
    """The least and the most questions at once, and how many of them may be waiting at the server rather than in its batch."""

    least: int = 1
    most: int = 256
    line: int = 2


def paced(limit: int, asked: int, before: Load, now: Load, bounds: Bounds) -> int:
    """The next limit, when `asked` questions are under way and the server was and is under these loads.

    Down by a fifth when it threw a question out of its cache, or the cache is all but full with more in line; down to what it takes when more than `line`
    wait and its batch no longer grows (pictures that come together are taken in one after the other, for seconds); up by an eighth while it takes
    everything at once and the limit is what holds it back.
    """
    if now.preemptions > before.preemptions or (now.cache >= _FULL and now.waiting):
        wanted = math.floor(min(limit, now.running + now.waiting) * _BACK)
    elif now.waiting > bounds.line and now.running <= before.running:
        wanted = min(limit, before.running + bounds.line)
    elif now.waiting < bounds.line and now.cache < _ROOMY and asked >= limit:
        wanted = limit + max(1, math.floor(limit * _STEP))
    else:
        wanted = limit
    return min(bounds.most, max(bounds.least, wanted))


class Pacer:
    """Takes pages of metrics as they come and sets the admission's limit; what is no page of metrics changes nothing."""

    def __init__(self, admission: Admission, bounds: Bounds | None = None) -> None:
        self._admission, self._bounds = admission, bounds or Bounds()
        self._before: Load | None = None

    def __call__(self, metrics: str) -> None:
        now = read_load(metrics)
        if now is not None:
            before = self._before or now
            self._admission.widen(paced(self._admission.limit, self._admission.inside, before, now, self._bounds))
            self._before = now
