"""Hard pages in a vision queue in memory, and a worker beside it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from escriba.identity import policy_key
from escriba.local.in_memory import InMemoryPipeline
from escriba.policy import parse_policy
from escriba.ports import Ports
from gpu_service.admission import Admission
from gpu_service.worker import Limits, Worker
from tests.faults.hard_pages import deliver
from tests.faults.harness import OWN, ObedientVision, made_up, pipeline

OURS = OWN.model_copy(update={"name": "gpu", "queue": "vision"})
API = OWN.model_copy(update={"name": "api", "model": "qwen3-vl-8b", "usd_per_page": 0.01})
QUICK = Limits(ahead=1, most=8, stop=5.0, visibility=30.0, poll=0)


@contextmanager
def escalated(
    routes: str = "hth", model: ObedientVision | None = None, *, backends: tuple[object, ...] = (OURS,), policy: str = ""
) -> Iterator[tuple[InMemoryPipeline, str]]:
    """A document whose hard pages have come as far as the vision queue; the job."""
    with pipeline(vision=model or ObedientVision(), backends=backends) as made:  # type: ignore[arg-type]
        if policy:
            made.ports.results.put(policy_key("default"), parse_policy(policy).model_dump_json().encode())
        job = made.upload("hard.pdf", made_up(routes))
        handlers = made.handlers()
        deliver(made, handlers, "split_document", "intake")
        while made.queues["pages"].depth().visible:
            deliver(made, handlers, "recognise_pages", "pages")
        assert made.queues["vision"].depth().visible == routes.count("h")
        yield made, job


@contextmanager
def working(made: InMemoryPipeline, *, ready: object = None, limits: Limits = QUICK) -> Iterator[Worker]:
    """A worker that runs while the context lasts."""
    worker = Worker(made.ports, Admission(2, line=8), ready or (lambda: True), limits=limits)  # type: ignore[arg-type]
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.leave()
        thread.join(20)
        assert not thread.is_alive()


def own_ports(made: InMemoryPipeline) -> Ports:
    return replace(made.ports, scratch=Path(tempfile.mkdtemp(dir=made.ports.scratch)))


def until(true: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.01)
    assert true()  # type: ignore[operator]
