"""The dispatcher keeps to what Lambda's queue mapping promises: slots, retries after their time, an end when it is told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from escriba.local.dispatcher import Dispatcher
from escriba.memory.clock import ManualClock
from escriba.memory.queue import MemoryQueue
from escriba.topology import FunctionSpec, QueueSpec, Topology

HIDDEN = 100  # seconds of the queue's visibility timeout


def dispatcher(handle: Callable[[dict[str, Any]], dict[str, Any]], messages: int, slots: int = 1, **options: Any) -> Dispatcher:
    """A dispatcher with one function, one queue and so many messages in it; the clock is a manual one."""
    clock = options.pop("clock", ManualClock())
    spec = QueueSpec("work", visibility=HIDDEN, max_receives=9, dead_letters=False)
    queue = MemoryQueue(spec, clock)
    queue.send([str(n) for n in range(messages)])
    topology = Topology(queues=(spec,), functions=(FunctionSpec("f", ("work",), timeout=1, memory=1, max_concurrency=slots),))
    return Dispatcher(topology, {"work": queue}, {"f": lambda event, _: handle(event)}, clock, **options)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("slots", [1, 2])
def test_a_function_runs_in_as_many_slots_as_it_has(slots: int) -> None:
    """Never in more, however many workers there are; and a slot that was used is free again."""
    lock, running, most, done = threading.Lock(), [0], [0], [0]

    def handle(event: dict[str, Any]) -> dict[str, Any]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05)
        with lock:
            running[0] -= 1
            done[0] += 1
        return {}

    dispatcher(handle, messages=6, slots=slots, workers=4).run()
    assert (most[0], done[0]) == (slots, 6)


@pytest.mark.parametrize("how", ["answered", "raised"])
def test_a_failed_message_comes_again_after_the_retry_delay(how: str) -> None:
    """Neither at once nor only when its visibility timeout is over."""
    clock, times = ManualClock(), []

    def handle(event: dict[str, Any]) -> dict[str, Any]:
        times.append(clock.now())
        if len(times) > 1:
            return {}
        if how == "raised":
            raise ValueError
        return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}

    dispatcher(handle, messages=1, clock=clock, retry_delay=7, idle=1).run()
    assert 7 <= (times[1] - times[0]).total_seconds() <= 8


def test_stopped_it_takes_no_more_messages() -> None:
    """What is in hand is finished."""
    handled: list[int] = []

    def handle(event: dict[str, Any]) -> dict[str, Any]:
        made.stop()
        handled.append(1)
        return {}

    made = dispatcher(handle, messages=5)
    made.run()
    assert len(handled) == 1
    assert made._queues["work"].depth().visible == 4


def test_an_idle_worker_hears_at_once_that_another_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not sleep on until it would have looked by itself."""
    monkeypatch.setattr("escriba.local.dispatcher._LOOK_AGAIN", 20)

    def handle(event: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.2)
        return {}

    began = time.monotonic()
    dispatcher(handle, messages=1, workers=2).run()
    assert time.monotonic() - began < 10
