"""A pipeline in its world: uploads that come in, an inbox that tells of them, a reader that obeys, and everything measured."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace as replaced

from escriba.alarms import OURS
from escriba.alarms.scaling import scalings
from escriba.conservation import conservation_violation
from escriba.document import Page, Route
from escriba.errors import EngineOutOfMemory, EngineTimeout
from escriba.identity import job_id, parse_upload_key, upload_key
from escriba.ledger import DocumentRow
from escriba.local.fleet import Fleet
from escriba.local.in_memory import InMemoryPipeline
from escriba.local.metrics import MeasuringMeter, MetricStore
from escriba.local.simulation import Simulation
from escriba.memory.clock import ManualClock
from escriba.memory.objects import MemoryObjectStore
from escriba.messages import object_created
from escriba.policy import Policy
from escriba.ports import Delivery, Ports, Rejection
from escriba.stages import canary
from escriba.stages.measure_gpu_service import measure_gpu_service
from escriba.stages.redrive import Wanted, plan, redrive
from escriba.topology import TOPOLOGY, FunctionSpec
from gpu_service.worker import DONE, work
from tests.faults.harness import OWN, ObedientReader, ObedientVision

MINUTE, HOUR = 60.0, 3600.0
SERVICE = TOPOLOGY.services[0]
EVERY = 300.0
"""Seconds between two uploads of the ordinary stream."""
SECONDS = {"split_document": 3.0, "assemble_document": 4.0, "quarantine": 0.2, "read_with_api": 8.0, "reconcile": 2.0, "canary": 1.0}
OCR_SECONDS, TEXT_SECONDS, HANGING = 10.0, 0.5, 125.0


class TellingInbox(MemoryObjectStore):
    """An inbox whose uploads are told to the intake queue, as the rule of the Core stack does; unless `silent`."""

    silent = False
    tell: Callable[[str, str, int], None]

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> str:
        version = super().put(key, data, content_type=content_type)
        if not self.silent:
            self.tell(key, version, len(data))
        return version


class CountingReader(ObedientReader):
    """Counts the reads of each page of each document; pages of documents that are `faded` come out DEGRADED; `greedy` ones need too much."""

    def __init__(self) -> None:
        super().__init__()
        self.reads_of: Counter[tuple[str, int]] = Counter()
        self.greedy: set[int] = set()
        self.deaf = False

    def read(self, path: Path, policy: Policy, route: Route, first: int, last: int, offset: int) -> Sequence[Page | Rejection]:
        made = self._open(path)
        for number in range(first, last + 1):
            self.reads_of[made["seed"], number] += 1
            if number in self.greedy:
                raise EngineOutOfMemory("the reader needed more than its 2752 MiB of memory")
        if made.get("says") and self.deaf:
            path = path.with_suffix(".deaf")
            path.write_text(json.dumps(made | {"says": "something else"}))
        answers = super().read(path, policy, route, first, last, offset)
        if not made.get("faded"):
            return answers
        return [replaced(a, state="DEGRADED", reason="low confidence") if isinstance(a, Page) else a for a in answers]


GPU = OWN.model_copy(update={"name": "gpu-service", "queue": "vision", "start_seconds": SERVICE.start})


class World:
    """One pipeline with its clock, its metrics and its uploads; with `gpu` the GPU service reads its hard pages, and not a function."""

    def __init__(self, scratch: Path, *, gpu: bool = False) -> None:
        self.clock, self.store, self.reader, self.vision = ManualClock(), MetricStore(), CountingReader(), ObedientVision()
        self._make(scratch)
        if gpu:
            self._rent()
        self.simulation.on_minute.append(self._check_conservation)
        self.slow = 1.0
        self.ocr_seconds = OCR_SECONDS
        self.jobs: list[str] = []
        self.violations: list[str] = []
        self.routes = "ttoh"

    def _make(self, scratch: Path) -> None:
        self.meter = MeasuringMeter(self.store, self.clock, OURS)
        self.pipeline = InMemoryPipeline(
            reader=self.reader, scratch=scratch, clock=self.clock, meter=self.meter, backends=(OWN,), vision=lambda _: self.vision
        )
        self.inbox = TellingInbox(versioned=True, bucket="inbox", clock=self.clock)
        self.inbox.tell = self._tell
        self.pipeline.ports = _with(self.pipeline.ports, inbox=self.inbox)
        handlers = self.pipeline.handlers()
        handlers["canary"] = self.pipeline.scheduled(lambda ports: canary.sing(ports, {"digital": _says("t"), "scanned": _says("o")}))
        self.simulation = Simulation(TOPOLOGY, self.pipeline.queues, handlers, self.clock, self.store, self._duration)

    def _rent(self) -> None:
        self.fleet = Fleet(self.simulation, SERVICE, scalings(SERVICE), self._measure, read=self._read_hard)
        # Pages that may wait: the others never go to a model that has yet to start.
        patient = Policy.model_validate({"name": "default", "vision": {"urgency": "batch"}})
        self.put_on(backends=(GPU,), gpu_service=self.fleet, policies={patient.name: patient})

    def _measure(self) -> None:
        measure_gpu_service(self.ports)

    def _read_hard(self, delivery: Delivery) -> bool:
        return work(delivery, self.pipeline._worker_ports()) == DONE

    @property
    def ports(self) -> Ports:
        return self.pipeline.ports

    def put_on(self, **ports: object) -> None:
        """Work on other ports from now on."""
        self.pipeline.ports = _with(self.pipeline.ports, **ports)

    def change_sends(self, change: Callable[[list[str]], list[str]]) -> Callable[[], None]:
        """What is sent to the queues, dead letters apart, is changed on its way; the answer ends that."""
        queues = [queue for name, queue in self.pipeline.queues.items() if not name.endswith("-dlq")]
        for queue in queues:
            whole = queue.send
            queue.send = lambda bodies, whole=whole, **kwargs: whole(change(list(bodies)), **kwargs)  # type: ignore[method-assign,misc]

        def heal() -> None:
            for queue in queues:
                del queue.send  # type: ignore[method-assign]

        return heal

    def _tell(self, key: str, version: str, size: int) -> None:
        event = object_created("inbox", key, version, size, self.clock.now())
        self.pipeline.queues["intake"].send([event], tenant=parse_upload_key(key).tenant)

    def upload(self, routes: str = "", *, tenant: str = "acme", **made: object) -> str:
        """Upload a made-up document that nobody has sent before; its job's id."""
        seed = f"document {len(self.jobs)}"
        key = upload_key(tenant, "default", f"{seed}.pdf")
        version = self.inbox.put(key, json.dumps({"routes": routes or self.routes, "seed": seed, **made}).encode())
        self.jobs.append(job_id(self.inbox.bucket, key, version))
        return self.jobs[-1]

    def upload_garbage(self) -> None:
        """Upload what is no document."""
        key = upload_key("acme", "default", f"garbage {self.clock.now().timestamp()}")
        self.inbox.put(key, f"garbage {self.clock.now()}".encode())

    def stream(self, seconds: float, every: float = EVERY, upload: Callable[[], object] | None = None) -> None:
        """Let time pass while an upload comes every so often."""
        for _ in range(round(seconds / every)):
            (upload or self.upload)()
            self.simulation.run(every)

    def redrive(self) -> int:
        """`escriba redrive` of everything that failed."""
        return redrive(plan(Wanted(), 10_000, self.ports), self.ports)

    def documents(self) -> list[DocumentRow | None]:
        """What each upload came to; None for one that is not known."""
        jobs = [self.ports.ledger.job(job) for job in self.jobs]
        return [self.ports.ledger.document(job.document_id) if job is not None and job.document_id else None for job in jobs]

    def _duration(self, spec: FunctionSpec, deliveries: Sequence[Delivery]) -> float:
        if spec.name == "recognise_pages":
            ocr = any('"route":"ocr"' in delivery.body for delivery in deliveries)
            return (self.ocr_seconds if ocr else TEXT_SECONDS) * self.slow
        if spec.name == "read_with_api" and isinstance(self.vision.mood, EngineTimeout):
            return HANGING
        return SECONDS[spec.name] * self.slow

    def _check_conservation(self) -> None:
        for document in self.pipeline_ledger_documents():
            violation = conservation_violation(document, list(self.true_ledger.pages(document.document_id)))
            if violation:
                self.violations.append(violation)

    @property
    def true_ledger(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        """The ledger itself, whatever stands before it."""
        ledger = self.pipeline.ports.ledger
        return getattr(ledger, "behind", ledger)

    def pipeline_ledger_documents(self) -> Iterator[DocumentRow]:
        """Those under way, and those that ended lately."""
        recovery = self.pipeline.ports.recovery
        return getattr(recovery, "behind", recovery).in_flight()


def _with(ports: Ports, **changes: object) -> Ports:
    from dataclasses import replace

    return replace(ports, **changes)  # type: ignore[arg-type]


def _says(route: str) -> Callable[[str], bytes]:
    return lambda nonce: json.dumps({"routes": route, "seed": nonce, "says": nonce}).encode()


@contextmanager
def world(*, gpu: bool = False) -> Iterator[World]:
    """A world of its own."""
    with TemporaryDirectory() as name:
        yield World(Path(name), gpu=gpu)
