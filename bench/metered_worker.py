"""The GPU service's own main with meters around its ports: at each SIGUSR1 it adds a line to BENCH_METERS that says where its CPU time went.

A port's figure is the CPU time of the thread that calls it, so that waiting costs nothing; the client's loop and the watch over the server have threads of
their own, whose clocks are read. Rendering is done in child processes and is in none of the figures.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import gpu_service.__main__ as service
from escriba.aws.clients import client
from escriba.backends import Backend
from escriba.ports import Ports
from escriba.settings import Settings
from gpu_service.settings import ServiceSettings

_UNMETERED = frozenset({"name", "bucket", "breaker"})


class Meters:
    """CPU seconds and calls by port; when the last page's message was deleted, on the monotonic clock."""

    def __init__(self) -> None:
        self.cpu: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()  # to AWS, by service: what is gathered is one
        self.last_answered = 0.0
        self._inside = threading.local()
        self._lock = threading.Lock()

    def around(self, port: Any, name: str) -> Any:
        """The port, metered."""
        return _Metered(port, name, self)

    def call(self, name: str, method: str, work: Callable[[], Any]) -> Any:
        """Do the work; what it does through other metered ports is counted once, with the outermost."""
        if getattr(self._inside, "now", False):
            return work()
        self._inside.now, began = True, time.thread_time()
        try:
            return work()
        finally:
            spent = time.thread_time() - began
            self._inside.now = False
            with self._lock:
                self.cpu[name] += spent
                self.calls[f"{name}.{method}"] += 1
                if name == "sqs" and method == "delete":
                    self.last_answered = time.monotonic()

    def watch(self, service: Literal["sqs", "s3", "dynamodb"]) -> None:
        """Count the requests of the process's client for a service."""

        def count(**_: Any) -> None:
            with self._lock:
                self.requests[service] += 1

        client(service).meta.events.register("request-created", count)

    def report(self) -> dict[str, Any]:
        """All figures since the start, as one JSON object."""
        threads: Counter[str] = Counter()
        for thread in threading.enumerate():
            if thread.ident is not None:
                threads[thread.name.partition("_")[0]] += time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        answered = self.last_answered
        return {
            "process": time.process_time(), "threads": threads, "ports": dict(self.cpu), "calls": dict(self.calls), "requests": dict(self.requests),
            "last_answered": answered, "now": time.monotonic(),
        }  # fmt: skip


class _Metered:
    def __init__(self, port: Any, name: str, meters: Meters) -> None:
        self._port, self._name, self._meters = port, name, meters

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if method in _UNMETERED or not callable(found):
            return found
        return lambda *args, **named: self._meters.call(self._name, method, lambda: found(*args, **named))


def metered(ports: Ports, meters: Meters) -> Ports:
    """The same ports, with meters around those that cost."""
    ask = ports.vision

    def vision(backend: Backend) -> Any:
        return meters.around(ask(backend), "client")

    return replace(
        ports,
        inbox=meters.around(ports.inbox, "s3"),
        results=meters.around(ports.results, "s3"),
        ledger=meters.around(ports.ledger, "ledger"),
        queues={name: meters.around(queue, "sqs") for name, queue in ports.queues.items()},
        reader=meters.around(ports.reader, "reader"),
        meter=meters.around(ports.meter, "telemetry"),
        vision=vision,
    )


def main() -> None:
    """As `python -m gpu_service`."""
    meters, out, make = Meters(), Path(os.environ["BENCH_METERS"]), service._ports  # noqa: SLF001  (the one place where its ports are made)

    def ports(settings: ServiceSettings, pipeline: Settings) -> Ports:
        return metered(make(settings, pipeline), meters)

    meters.watch("sqs")
    meters.watch("s3")
    meters.watch("dynamodb")

    def report(*_: Any) -> None:
        with out.open("a") as file:
            file.write(json.dumps(meters.report()) + "\n")

    service._ports = ports  # noqa: SLF001
    signal.signal(signal.SIGUSR1, report)
    report()  # it may be signalled from now on
    service.main()


if __name__ == "__main__":
    main()
