"""One local run: the embedded AWS with its journal, the real Lambda handlers, and what is left over from a run that was killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from escriba.aws.clients import client
from escriba.backends import Backend
from escriba.identity import job_id, policy_key, upload_key
from escriba.ledger import FINISHED, DocumentRow, JobRow
from escriba.local.dispatcher import Dispatcher, Handler
from escriba.local.embedded_aws import embedded_aws
from escriba.local.journal import Journal
from escriba.messages import SplitContinued, encode, object_created
from escriba.policy import Policy
from escriba.ports import Ports
from escriba.settings import Settings
from escriba.stages import announce
from escriba.stages.split import send_waiting
from escriba.topology import TOPOLOGY, Topology
from lambdas.entry import release_worker, worker_ports

STATE_DIRECTORY = ".escriba"
TENANT = "local"


@dataclass(frozen=True)
class LocalPipeline:
    """The embedded AWS of one output directory, through the ports that the handlers use too."""

    settings: Settings
    topology: Topology
    ports: Ports

    def put_policy(self, policy: Policy) -> None:
        """Deploy a policy."""
        self.ports.results.put(policy_key(policy.name), policy.model_dump_json().encode(), content_type="application/json")

    def put_secret(self, name: str, text: str) -> None:
        """Put a secret where the handlers look for it; it is gone with the process."""
        client("secretsmanager").create_secret(Name=name, SecretString=text)

    def upload(self, path: Path, policy: Policy) -> str:
        """Put a file into the inbox and tell the intake queue as S3 would; returns the job's id."""
        # A name need not be text on a disk; in a key it must.
        key = upload_key(TENANT, policy.name, os.fsencode(path.name).decode("utf-8", "replace"))
        version = self.ports.inbox.upload(path, key)
        event = object_created(self.settings.inbox_bucket, key, version, path.stat().st_size, self.ports.clock.now())
        self.ports.queues["intake"].send([event], tenant=TENANT)
        return job_id(self.settings.inbox_bucket, key, version)

    def resume(self) -> int:
        """Send again what a killed run had sent: its queues died with it. Returns the number of unfinished documents."""
        unfinished = [
            document
            for document in self.ports.ledger.documents()
            if document.state not in FINISHED or 0 < document.current < document.revision
        ]
        for document in unfinished:
            self._resume(document)
        return len(unfinished)

    def _resume(self, document: DocumentRow) -> None:
        if document.state in {"RECEIVED", "PLANNED"}:
            message = SplitContinued(
                sent_at=self.ports.clock.now(), document_id=document.document_id, first=1, generation=document.generation
            )
            self.ports.queues["intake"].send([encode(message)], tenant=document.tenant)
        else:
            send_waiting(document, self.ports.ledger.pages(document.document_id), self.ports)
            announce.ready(document, self.ports)

    def dispatcher(self, handlers: Mapping[str, Handler], *, workers: int) -> Dispatcher:
        """A dispatcher over this pipeline's queues; while one worker splits, the others read."""
        functions = tuple(
            replace(f, max_concurrency=max(1, workers // 2)) if f.name == "split_document" else f for f in self.topology.functions
        )
        topology = Topology(self.topology.queues, functions)
        waiters = max((backend.concurrency for backend in self.settings.backends), default=0)
        return Dispatcher(
            topology, self.ports.queues, handlers, self.ports.clock, workers=workers, waiters=waiters, on_worker_end=release_worker
        )

    def job(self, identity: str) -> tuple[JobRow | None, DocumentRow | None]:
        """A job and its document, as far as they are known."""
        job = self.ports.ledger.job(identity)
        return job, self.ports.ledger.document(job.document_id) if job is not None and job.document_id else None


def nobody(row: dict[str, Any]) -> None:
    """Hears of rows and does nothing."""


@contextmanager
def local_pipeline(
    directory: Path,
    *,
    topology: Topology = TOPOLOGY,
    backends: Sequence[Backend] = (),
    on_row: Callable[[dict[str, Any]], None] = nobody,
) -> Iterator[LocalPipeline]:
    """Start the embedded AWS for an output directory, with everything its journal remembers; `backends` are its vision models."""
    state = directory / STATE_DIRECTORY
    state.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        settings = stack.enter_context(embedded_aws(topology))
        settings = settings.model_copy(
            update={"telemetry_file": str(state / "telemetry.jsonl"), "upgrade_window": 1, "backends": tuple(backends)}
        )
        os.environ.update(settings.to_env())  # restored with the embedded AWS
        journal = Journal(state, settings, on_row)
        stack.callback(journal.close)
        journal.replay()
        journal.watch()
        stack.callback(release_worker)
        yield LocalPipeline(settings, topology, worker_ports())
