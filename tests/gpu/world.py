"""An AWS in a process of its own, documents in it whose pages wait in the vision queue, and workers that read them."""

from __future__ import annotations

import gzip
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import msgspec
import pymupdf
from PIL import Image

from escriba.aws.clients import forget_clients
from escriba.backends import OURS, Backend
from escriba.document import Evidence, Page
from escriba.identity import result_key
from escriba.ledger import DocumentRow, JobRow, Outcome, PagesRow
from escriba.local.dispatcher import Context, sqs_event
from escriba.local.embedded_aws import provision
from escriba.policy import Policy, parse_policy
from escriba.ports import Ports
from escriba.settings import Settings
from escriba.stages.escalate import escalate
from escriba.topology import TOPOLOGY, Topology
from gpu_service.settings import ServiceSettings
from lambdas import assemble_document
from lambdas.entry import release_worker, worker_ports
from tests.engines.servers import ROOT, free_port, started

MODEL = "generic"
ONE_ANSWER = parse_policy("[vision]\nattempts = 1\nmax_tokens = 64\ndeadline_seconds = 600\ncrops = false")


def a_scan(width: int = 595, height: int = 842, *, seed: int = 0) -> bytes:
    """A PDF of one page that is a picture with ink all over it, of width x height pixels."""
    chance = random.Random(seed)
    picture = Image.frombytes("L", (width // 8, height // 8), chance.randbytes((width // 8) * (height // 8)))
    packed = io.BytesIO()
    picture.resize((width, height)).save(packed, "JPEG", quality=60)
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        page.insert_image(page.rect, stream=packed.getvalue())
        return bytes(document.tobytes(no_new_id=True))


@dataclass
class World:
    """A deployment in a moto of its own; `environment` is what another process needs to be part of it."""

    settings: Settings
    ports: Ports
    environment: dict[str, str]
    topology: Topology
    documents: list[str] = field(default_factory=list)
    _ended: set[str] = field(default_factory=set)

    def put_hard_pages(self, number: int, *, policy: Policy = ONE_ANSWER, file: bytes = b"", tenant: str = "acme") -> str:
        """A document of so many pages, of none of which CPU OCR read a word: each waits in the vision queue. Returns its id."""
        identity = f"{len(self.documents):032x}"
        original = f"originals/{tenant}/{identity}"
        self.ports.results.put(original, file or a_scan())
        document = DocumentRow(
            document_id=identity, job_id=f"job-{identity}", tenant=tenant, policy=policy.model_dump_json(), sha256=identity * 2,
            name="scan.pdf", original_key=original,
        )  # fmt: skip
        ledger = self.ports.ledger
        ledger.accept(JobRow(job_id=f"job-{identity}", tenant=tenant, key="inbox/x/default/scan.pdf", document_id=identity), document)
        rows = [PagesRow(first=n, last=n, route="ocr", object_key=original, offset=n - 1, queue="pages") for n in range(1, number + 1)]
        ledger.add_pages(identity, rows)
        ledger.planned(identity, number, "application/pdf")
        document = ledger.reading(identity)
        for row in ledger.pages(identity):
            page = Page(row.first, 595, 842, "ocr", "tesseract", "DEGRADED", reason="nothing could be read", evidence=Evidence(ink=0.2))
            content = gzip.compress(msgspec.json.encode([page]), 1, mtime=0)
            key = result_key(identity, row.first, row.first, content)
            self.ports.results.put(key, content)
            reading = Outcome(
                first=row.first, last=row.first, generation=1, state="DEGRADED", reason=page.reason, engine="tesseract", result_key=key
            )
            escalate(document, row, reading, OURS, self.ports)
        self.documents.append(identity)
        return identity

    def rows(self, identity: str) -> list[PagesRow]:
        return sorted(self.ports.ledger.pages(identity), key=lambda row: row.first)

    def waiting(self) -> int:
        """Pages that have not ended."""
        left = 0
        for identity in [known for known in self.documents if known not in self._ended]:
            waiting = self.ports.ledger.document(identity).waiting
            if not waiting:
                self._ended.add(identity)  # nothing waits again: to ask for hundreds of such documents would take longer than reading one
            left += waiting
        return left

    def assemble(self) -> None:
        """Have `assemble_document` work off its queue."""
        queue = self.ports.queues["assemble"]
        while deliveries := queue.receive(1):
            context = Context("assemble_document", 2048, 300, lambda: 300.0)
            failed = assemble_document.handler(sqs_event("assemble", deliveries), context)["batchItemFailures"]
            assert not failed
            queue.delete(deliveries[0].receipt)


@contextmanager
def world(directory: Path, backend_url: str, *, visibility: float = 30.0, key_secret: str = "") -> Iterator[World]:
    """Start moto as a process, make a deployment in it, and be part of it; `backend_url` is the vision server's, with its /v1."""
    port = free_port()
    backend = Backend(name="gpu", base_url=backend_url, model=MODEL, served_as="tiny", queue=OURS, external=False, key_secret=key_secret)
    topology = replace(
        TOPOLOGY, queues=tuple(replace(spec, visibility=visibility) if spec.name == OURS else spec for spec in TOPOLOGY.queues)
    )
    aws = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "tests.gpu.aws_server", str(port)]
    with started("moto", command, port, directory / "moto.log", seconds=60, health="/moto-api/"), patch.dict(os.environ, aws):
        forget_clients()
        settings = provision(topology).model_copy(
            update={"backends": (backend,), "telemetry_file": str(directory / "telemetry.jsonl"), "upgrade_window": 0}
        )
        os.environ.update(settings.to_env())
        try:
            release_worker()
            yield World(settings, worker_ports(), {**aws, **settings.to_env()}, topology)
        finally:
            release_worker()
            forget_clients()


@dataclass
class Running:
    """A worker's process, which leads a group of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """As the kernel does that is out of memory, its readers too."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)

    def leave(self) -> None:
        """As ECS does that scales in, or whose spot instance is taken away."""
        self.process.send_signal(signal.SIGTERM)


def worker(made: World, settings: ServiceSettings, *, python: Sequence[str] = (), log: Path | None = None, covered: bool = True) -> Running:
    """Start the service's own main."""
    place = log or Path(tempfile.mkstemp(prefix="gpu-worker-", suffix=".log")[1])
    # What is killed cannot say what it covered, and costs twice as much while it tries to.
    here = {name: value for name, value in os.environ.items() if not name.startswith("COV") or covered}
    environment: Mapping[str, str] = {**here, **made.environment, **settings.to_env()}
    with place.open("ab") as out:
        process = subprocess.Popen(
            [*(python or [sys.executable]), "-m", "gpu_service"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
            stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    return Running(process, place)
