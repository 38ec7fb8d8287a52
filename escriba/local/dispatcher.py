"""Feeds Lambda handlers from queues as AWS would: batches, visibility timeouts, partial failures, dead letters, capped concurrency.

It knows only the ports Queue and Clock, so the same code drives moto, the in-memory adapters, `escriba.read` and the tests.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from escriba.ports import Clock, Delivery, Queue
from escriba.topology import FunctionSpec, Topology

Handler = Callable[[dict[str, Any], Any], Mapping[str, Any]]
_LOOK_AGAIN = 1.0  # seconds
_REGION, _ACCOUNT = "us-east-1", "123456789012"


class NeverReturned(BaseException):
    """Raised by a handler in tests to stand for a sandbox that died: nothing is answered, messages wait for their visibility timeout."""


@dataclass(frozen=True)
class Context:
    """What a handler sees of its invocation, in the names of the Lambda runtime."""

    function_name: str
    memory_limit_in_mb: int
    timeout: float
    deadline: Callable[[], float] = field(repr=False)
    function_version: str = "$LATEST"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:{_REGION}:{_ACCOUNT}:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int(self.deadline() * 1000))


class Dispatcher:
    """Runs handlers side by side in threads until every queue is empty, or until `stop` is called."""

    def __init__(
        self,
        topology: Topology,
        queues: Mapping[str, Queue],
        handlers: Mapping[str, Handler],
        clock: Clock,
        *,
        workers: int = 1,
        waiters: int = 0,
        retry_delay: int = 1,
        idle: float = 0.05,
        on_worker_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`waiters` threads run the functions that wait for others, so that pages are read meanwhile; with none the `workers` run these too.

        `retry_delay` in seconds: how soon a message is seen again whose handler said that it failed; `idle` between looks.
        """
        self._topology, self._queues, self._handlers, self._clock = topology, queues, handlers, clock
        self._waiters = waiters
        self._workers, self._retry_delay, self._idle, self._on_worker_end = workers, retry_delay, idle, on_worker_end
        self._running: Counter[str] = Counter()
        self._busy = 0
        self._lock = threading.Condition()
        self._stop = threading.Event()
        self._failures: list[BaseException] = []

    def run(self) -> None:
        """Work until nothing is left anywhere. Raises what broke a worker itself (never what a handler raised)."""
        waiting = tuple(spec for spec in self._topology.functions if spec.waits and self._waiters)
        working = tuple(spec for spec in self._topology.functions if spec not in waiting)
        lanes = [working] * self._workers + [waiting] * self._waiters
        threads = [threading.Thread(target=self._work, args=(lane,), name=f"worker-{n + 1}", daemon=True) for n, lane in enumerate(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            # A join without limit would keep Ctrl-C from being heard.
            while thread.is_alive():
                thread.join(0.2)
        if self._failures:
            raise self._failures[0]

    def stop(self) -> None:
        """Take no more messages; what is in hand is finished."""
        self._stop.set()

    def _work(self, functions: Sequence[FunctionSpec]) -> None:
        try:
            while not self._stop.is_set():
                if not self._one_batch(functions) and not self._wait():
                    return
        except BaseException as error:  # noqa: BLE001  (handed to the caller of run)
            self._failures.append(error)
            self._stop.set()
        finally:
            self._on_worker_end()

    def _one_batch(self, functions: Sequence[FunctionSpec]) -> bool:
        """Invoke the first of these functions that has something to do, downstream first; False when none has."""
        for function in functions:
            if not self._take_slot(function):
                continue
            try:
                for name in function.consumes:
                    deliveries = self._queues[name].receive(function.batch_size)
                    if deliveries:
                        self._invoke(function, self._queues[name], deliveries)
                        return True
            finally:
                with self._lock:
                    self._running[function.name] -= 1
        return False

    def _take_slot(self, function: FunctionSpec) -> bool:
        with self._lock:
            if self._running[function.name] >= function.max_concurrency:
                return False
            self._running[function.name] += 1
            return True

    def _wait(self) -> bool:
        """Wait until there may be something to do; False when there never will be."""
        with self._lock:
            if self._busy:
                # Messages come from handlers: look again when one ends, or now and then for what becomes visible with time.
                self._lock.wait(_LOOK_AGAIN)
                return True
        # A message in flight, delayed or dead keeps its queue from being empty.
        if all(queue.depth().total == 0 for queue in self._queues.values()):
            return False
        self._clock.sleep(self._idle)
        return True

    def _invoke(self, function: FunctionSpec, queue: Queue, deliveries: Sequence[Delivery]) -> None:
        with self._lock:
            self._busy += 1
        try:
            self._answer(function, queue, deliveries)
        finally:
            with self._lock:
                self._busy -= 1
                self._lock.notify_all()

    def _answer(self, function: FunctionSpec, queue: Queue, deliveries: Sequence[Delivery]) -> None:
        began = self._clock.now()

        def left() -> float:
            return function.timeout - (self._clock.now() - began).total_seconds()

        context = Context(function.name, function.memory, function.timeout, left)
        try:
            answer = self._handlers[function.name](sqs_event(queue.name, deliveries), context)
            failed = {item["itemIdentifier"] for item in answer.get("batchItemFailures", ())}
        except NeverReturned:
            return
        except Exception:  # noqa: BLE001  (AWS does the same: an invocation that raised failed as a whole)
            failed = {delivery.message_id for delivery in deliveries}
        for delivery in deliveries:
            if delivery.message_id in failed:
                queue.change_visibility(delivery.receipt, self._retry_delay)
            else:
                queue.delete(delivery.receipt)


def sqs_event(queue: str, deliveries: Sequence[Delivery]) -> dict[str, Any]:
    """The event that Lambda's SQS mapping builds."""
    return {
        "Records": [
            {
                "messageId": delivery.message_id,
                "receiptHandle": delivery.receipt,
                "body": delivery.body,
                "attributes": {
                    "ApproximateReceiveCount": str(delivery.receives),
                    "SentTimestamp": "0",
                    "SenderId": _ACCOUNT,
                    "ApproximateFirstReceiveTimestamp": "0",
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(delivery.body.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:{queue}",
                "awsRegion": _REGION,
            }
            for delivery in deliveries
        ]
    }
