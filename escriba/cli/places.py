"""Where documents go in and come out: a deployed stack, or what a local run has left in its folder."""

from __future__ import annotations

import difflib
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, unquote, urlsplit

import typer

from escriba.aws.clients import client
from escriba.aws.events import EventBridgeBus
from escriba.aws.ledger import DynamoLedger
from escriba.aws.objects import S3ObjectStore
from escriba.aws.recovery import DynamoRecovery
from escriba.aws.secrets import SecretsManager
from escriba.aws.stack import refusals, stack_outputs
from escriba.aws.stack_queues import StackQueues, stage_of
from escriba.errors import ConfigurationError, NotFound
from escriba.identity import job_id, parse_upload_key
from escriba.isolation import IsolatedReader
from escriba.ledger import FORGOTTEN, DocumentRow, JobRow, Ledger
from escriba.local.pipeline import STATE_DIRECTORY, local_pipeline
from escriba.memory.clock import SystemClock
from escriba.memory.meter import MemoryMeter
from escriba.ports import ObjectStore, Ports
from escriba.topology import TOPOLOGY

_LEAST = 4  # characters of an id that name it
Stack = Annotated[str, typer.Option(help="A deployed Core stack; without it, the local run in --out.")]
WANTED = "s3://bucket/key?versionId=... of an upload, a job's or document's id, or a file's name"
Wanted = Annotated[str, typer.Argument(help=f"{WANTED}.")]


@dataclass(frozen=True)
class Place:
    """`name` is for people, `stage` the deployment's, `folder` the local run's; each is empty in the other's place."""

    name: str
    ports: Ports
    stage: str = ""
    folder: Path | None = None

    @property
    def inbox(self) -> ObjectStore:
        return self.ports.inbox

    @property
    def results(self) -> ObjectStore:
        return self.ports.results

    @property
    def ledger(self) -> Ledger:
        return self.ports.ledger

    @property
    def inbox_bucket(self) -> str:
        """Part of every job's identity."""
        return self.ports.inbox.bucket

    @property
    def options(self) -> str:
        """What names this place to a command of ours."""
        return f"--out {shlex.quote(str(self.folder))}" if self.folder is not None else f"--stack {shlex.quote(self.name)}"


@contextmanager
def place(stack: str, out: Path) -> Iterator[Place]:
    """The stack of this name or, without one, the local run in `out`. Raises `ConfigurationError`."""
    if stack:
        with refusals():
            yield Place(stack, _stack_ports(stack_outputs(stack), stage_of(stack)), stage=stage_of(stack))
        return
    check_is_run(out)
    with local_pipeline(out) as pipeline:
        yield Place(str(out), pipeline.ports, folder=out)


def check_is_run(out: Path) -> None:
    """Raises `ConfigurationError` when no local run has left anything there."""
    if not (out / STATE_DIRECTORY / "journal.sqlite").is_file():
        raise ConfigurationError(f"{out} holds no run; name the folder that you gave to escriba run with --out, or a stack with --stack")


def _stack_ports(outputs: Mapping[str, str], stage: str) -> Ports:
    """What a person's commands need of a deployed stack; nothing is read here, so the reader starts no process."""
    clock = SystemClock()
    return Ports(
        inbox=S3ObjectStore(client("s3"), outputs["InboxBucket"]),
        results=S3ObjectStore(client("s3"), outputs["ResultsBucket"]),
        ledger=DynamoLedger(client("dynamodb"), outputs["LedgerTable"], clock),
        recovery=DynamoRecovery(client("dynamodb"), outputs["LedgerTable"], clock),
        queues=StackQueues(stage, TOPOLOGY),
        events=EventBridgeBus(client("events"), outputs.get("EventBus", "")),
        clock=clock,
        meter=MemoryMeter(),
        reader=IsolatedReader(),
        secrets=SecretsManager(client("secretsmanager")),
        scratch=Path(tempfile.gettempdir()),
    )


def find(where: Place, wanted: str) -> list[tuple[JobRow | None, DocumentRow | None]]:
    """The jobs and documents that `wanted` names; at least one. Raises `ConfigurationError` naming what is known."""
    if wanted.startswith("s3://"):
        address = urlsplit(wanted)
        version = parse_qs(address.query).get("versionId", [""])[0]
        if version:
            return [_job(where, job_id(address.netloc, unquote(address.path.lstrip("/")), version), wanted)]
        # Without its version an upload is one of all those under its key: their documents are what can be found.
        owner = parse_upload_key(unquote(address.path.lstrip("/")))
        documents = [d for d in where.ledger.documents() if (d.tenant, d.name) == (owner.tenant, owner.name)]
    else:
        if (job := where.ledger.job(wanted)) is not None:
            return [_with_document(where, job)]
        documents = [d for d in where.ledger.documents() if _names(wanted, d)]
    if not documents:
        raise ConfigurationError(f"{where.name} knows no document {wanted!r}; {_known(where, wanted)}")
    return [(where.ledger.job(document.job_id), document) for document in documents]


def _job(where: Place, identity: str, wanted: str) -> tuple[JobRow | None, DocumentRow | None]:
    job = where.ledger.job(identity)
    if job is None:
        raise ConfigurationError(f"{wanted} has not been taken in yet; wait a little, or see whether the intake queue moves")
    return _with_document(where, job)


def _with_document(where: Place, job: JobRow) -> tuple[JobRow, DocumentRow | None]:
    try:
        return job, where.ledger.document(job.document_id) if job.document_id else None
    except NotFound:
        return job, None


def without_document(job: JobRow | None) -> str:
    """Why an upload has come to no document."""
    if job is not None and job.code == FORGOTTEN:
        return "its event was lost; it has been sent again, and is about to be taken in"
    return job.reason if job is not None else "it was rejected"


def _names(wanted: str, document: DocumentRow) -> bool:
    name = Path(wanted).name
    return name in {document.name, Path(document.name).stem} or (len(wanted) >= _LEAST and document.document_id.startswith(wanted))


def _known(where: Place, wanted: str) -> str:
    names = sorted({document.name for document in where.ledger.documents()})
    if near := difflib.get_close_matches(wanted, names):
        return f"did you mean {' or '.join(near)}?"
    return f"it knows {', '.join(names[:10])}{' and more' if len(names) > 10 else ''}" if names else "it knows none"  # noqa: PLR2004
