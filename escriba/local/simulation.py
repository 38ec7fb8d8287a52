"""The pipeline on a clock that a program moves: mappings, schedules, timeouts and queues as AWS has them, hours in seconds.

Handlers do their work in no time at all and then hold their slot for as long as they are said to take; what AWS would measure of them and
of the queues goes into a metric store beside what they emit themselves.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from escriba.local.dispatcher import Context, Handler, NeverReturned, sqs_event
from escriba.local.metrics import MINUTE, MetricStore
from escriba.ports import Clock, Delivery, Queue
from escriba.topology import FunctionSpec, Topology

POLL = 10.0
"""Seconds between two looks of a mapping at its queue."""

Duration = Callable[[FunctionSpec, Sequence[Delivery]], float]
"""How long an invocation takes, seconds."""


class MovableClock(Clock, Protocol):
    """A clock that stands still until it is told to move."""


class Simulation:
    """Runs `handlers` (by function) on `queues` while the clock moves; `disabled` mappings and `throttled` functions do nothing."""

    def __init__(
        self,
        topology: Topology,
        queues: Mapping[str, Queue],
        handlers: Mapping[str, Handler],
        clock: MovableClock,
        store: MetricStore,
        duration: Duration,
        *,
        poll: float = POLL,
    ) -> None:
        self.topology, self.queues, self.handlers = topology, queues, dict(handlers)
        self.clock, self.store, self.duration, self._every = clock, store, duration, poll
        self.disabled: set[str] = set()
        self.throttled: set[str] = set()
        self.on_minute: list[Callable[[], None]] = []
        self._running: Counter[str] = Counter()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.at(0, self._poll)
        self.at(0, self._minute)
        for spec in topology.functions:
            if spec.every:
                self.at(spec.every, lambda spec=spec: self._scheduled(spec))  # type: ignore[misc]

    @property
    def now(self) -> float:
        return self.clock.now().timestamp()

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something so many seconds from now."""
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), action))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            moment, _, action = heapq.heappop(self._agenda)
            self._move_to(moment)
            action()
        self._move_to(end)

    def _move_to(self, moment: float) -> None:
        if moment > self.now:
            self.clock.sleep(moment - self.now)

    def _poll(self) -> None:
        for spec in self.topology.functions:
            if spec.name in self.disabled:
                continue
            for name in spec.consumes:
                self._consume(spec, self.queues[name])
        self.at(self._every, self._poll)

    def _consume(self, spec: FunctionSpec, queue: Queue) -> None:
        if spec.name in self.throttled:
            if queue.depth().visible and self.now % MINUTE < self._every:
                self._lambda(spec, "Throttles", 1)
            return
        while self._running[spec.name] < spec.max_concurrency and (deliveries := queue.receive(spec.batch_size)):
            self._invoke(spec, queue, deliveries)

    def _invoke(self, spec: FunctionSpec, queue: Queue, deliveries: Sequence[Delivery]) -> None:
        self._running[spec.name] += 1
        failed, seconds = self._work(spec, sqs_event(queue.name, deliveries), deliveries)
        done = [] if failed is None else [delivery for delivery in deliveries if delivery.message_id not in failed]

        def finish() -> None:
            self._running[spec.name] -= 1
            for delivery in done:
                queue.delete(delivery.receipt)
            if done:
                self.store.add("AWS/SQS", "NumberOfMessagesDeleted", len(done), self.now, QueueName=queue.name)

        self.at(seconds, finish)

    def _scheduled(self, spec: FunctionSpec) -> None:
        if spec.name not in self.disabled and spec.name not in self.throttled:
            self._work(spec, {}, ())
        self.at(spec.every, lambda: self._scheduled(spec))

    def _work(self, spec: FunctionSpec, event: dict[str, Any], deliveries: Sequence[Delivery]) -> tuple[set[str] | None, float]:
        """Invoke; the messages that failed (None: the invocation as a whole) and the seconds it took."""
        seconds = self.duration(spec, deliveries)
        failed: set[str] | None = None
        try:
            answer = self.handlers[spec.name](event, Context(spec.name, spec.memory, spec.timeout, lambda: spec.timeout))
            failed = {item["itemIdentifier"] for item in answer.get("batchItemFailures", ())}
        except (NeverReturned, Exception):  # noqa: BLE001  (AWS does the same: an invocation that raised failed as a whole)
            failed = None
        if seconds >= spec.timeout:
            failed, seconds = None, spec.timeout
        self._lambda(spec, "Duration", 1000 * seconds)
        if failed is None:
            self._lambda(spec, "Errors", 1)
        return failed, seconds

    def _lambda(self, spec: FunctionSpec, metric: str, value: float) -> None:
        self.store.add("AWS/Lambda", metric, value, self.now, FunctionName=spec.name)

    def _minute(self) -> None:
        for queue in self.queues.values():
            if (age := queue.oldest()) is not None:
                self.store.add("AWS/SQS", "ApproximateAgeOfOldestMessage", age, self.now, QueueName=queue.name)
        for action in self.on_minute:
            action()
        self.at(MINUTE, self._minute)
