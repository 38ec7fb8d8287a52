"""Runs the GPU service's own main over pages that wait in its queue, and says how fast they were read and where its CPU time went."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.counting_server import counting_server
from bench.hard_pages import MODEL, put_unsent, send, wait_until_read
from escriba.backends import OURS, Backend
from gpu_service.settings import ServiceSettings
from tests.engines.servers import HERE, ROOT
from tests.gpu.world import World

NOWHERE = "http://127.0.0.1:9/v1"  # for a deployment whose server comes later
_START, _LEAVE = 60.0, 30.0  # seconds
PARTS = {"SQS": "sqs", "S3": "s3", "ledger": "ledger", "reader (pipes)": "reader", "telemetry": "telemetry"}


@dataclass(frozen=True)
class Costs:
    """CPU seconds of the worker's own process for so many pages, by part; `requests` are those to AWS.

    `watch` is what it spends on looking after the server, however many pages it reads meanwhile.
    """

    pages: int
    seconds: float
    parts: dict[str, float]
    watch: float
    whole: float
    requests: float

    @property
    def rate(self) -> float:
        """Pages a second."""
        return self.pages / self.seconds

    def each(self, part: str) -> float:
        """Milliseconds of a page."""
        return 1000 * self.parts[part] / self.pages

    @property
    def page(self) -> float:
        """Milliseconds of CPU that a page costs, what the watch costs in the meantime included."""
        return 1000 * self.whole / self.pages


def costs(before: dict[str, Any], after: dict[str, Any], pages: int, seconds: float) -> Costs:
    """The difference between two reports of `metered_worker`."""

    def spent(kind: str, name: str) -> float:
        return float(after[kind].get(name, 0.0) - before[kind].get(name, 0.0))

    whole = float(after["process"] - before["process"])
    parts = {part: spent("ports", name) for part, name in PARTS.items()}
    parts["client"] = spent("threads", "vision") + spent("ports", "client")
    watch = spent("threads", "vllm")
    parts["the rest"] = whole - sum(parts.values()) - watch
    requests = sum(after["requests"].values()) - sum(before["requests"].values())
    return Costs(pages, seconds, parts, watch, whole, requests)


@dataclass
class MeteredWorker:
    """A worker that runs. `reports` is where its meters are written to."""

    process: subprocess.Popen[bytes]
    reports: Path

    def report(self) -> dict[str, Any]:
        """Its meters now."""
        before = len(self._lines(1))
        self.process.send_signal(signal.SIGUSR1)
        found: dict[str, Any] = json.loads(self._lines(before + 1)[-1])
        return found

    def _lines(self, least: int) -> list[str]:
        """Its reports, as soon as there are so many."""
        end = time.monotonic() + _START
        while len(lines := self.reports.read_text().splitlines() if self.reports.exists() else []) < least:
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError("the worker does not report")
            time.sleep(0.02)
        return lines

    def read(self, made: World, pages: int, pictures: Sequence[bytes], *, patience: float = 600.0) -> Costs:
        """Put so many pages into the queue, and wait until the last of their messages is deleted."""
        bodies = put_unsent(made, pages, pictures)
        before = self.report()
        began = send(made, bodies)
        wait_until_read(made, patience)
        after = self.report()
        return costs(before, after, pages, after["last_answered"] - began)


def against_stand_in(made: World, directory: Path, pictures: Sequence[bytes], pages: int, at_once: int) -> tuple[Costs, list[bytes]]:
    """What pages cost the worker where the server is not what is waited for, and the requests that it sent: one for each picture."""
    kept = directory / "requests"
    kept.mkdir()
    with (
        counting_server(directory, 0.3, kept) as counting,
        metered_worker(made, counting.address, settings(counting.address, at_once), directory) as worker,
    ):
        worker.read(made, 2 * at_once, pictures)  # everything loaded, every connection open
        found = worker.read(made, pages, pictures)
    bodies = sorted({path.read_bytes() for path in kept.iterdir()})
    if len(bodies) != len(pictures):
        raise RuntimeError(f"{len(pictures)} pictures became {len(bodies)} different requests")
    return found, bodies


def settings(server: str, at_once: int, **more: Any) -> ServiceSettings:
    """A worker that asks so many questions at once, no fewer and no more; it has no front unless `more` says so."""
    return ServiceSettings.model_validate(
        {"server": server, "at_once": at_once, "at_once_most": at_once, "front_host": HERE, "front_port": 0} | more
    )


@contextmanager
def metered_worker(
    made: World, server: str, chosen: ServiceSettings, directory: Path, *, python: Sequence[str] = ()
) -> Iterator[MeteredWorker]:
    """The service's own main, metered, while the context lasts; every page is sent to `server`. It has to leave by itself within its time."""
    backend = Backend(name="gpu", base_url=f"{server}/v1", model=MODEL, served_as=MODEL, queue=OURS, external=False)
    told = made.settings.model_copy(update={"backends": (backend,)}).to_env() | chosen.to_env()
    reports = directory / f"meters-{time.monotonic_ns()}.jsonl"
    environment = {**os.environ, **made.environment, **told, "BENCH_METERS": str(reports)}
    with (directory / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [*(python or [sys.executable]), "-m", "bench.metered_worker"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    running = MeteredWorker(process, reports)
    try:
        yield running
        process.send_signal(signal.SIGTERM)
        process.wait(_LEAVE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
