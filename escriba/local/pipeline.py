"""One local run: the embedded AWS with its journal, the real Lambda handlers, and what is left over from a run that was killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from escriba.aws.clients import client
from escriba.aws.ledger import DynamoLedger
from escriba.aws.objects import S3ObjectStore
from escriba.aws.queue import SqsQueue
from escriba.identity import job_id, policy_key, upload_key
from escriba.ledger import FINISHED, DocumentRow, JobRow
from escriba.local.dispatcher import Dispatcher, Handler
from escriba.local.embedded_aws import embedded_aws
from escriba.local.journal import Journal
from escriba.memory.clock import SystemClock
from escriba.messages import SplitContinued, encode, object_created
from escriba.policy import Policy
from escriba.ports import Ports, Queue
from escriba.settings import Settings
from escriba.stages import announce
from escriba.stages.split import send_waiting
from escriba.topology import TOPOLOGY, Topology

STATE_DIRECTORY = ".escriba"
TENANT = "local"


@dataclass(frozen=True)
class LocalPipeline:
    """The embedded AWS of one output directory, seen through the same adapters that a deployment uses."""

    settings: Settings
    topology: Topology
    queues: dict[str, Queue]
    inbox: S3ObjectStore
    results: S3ObjectStore
    ledger: DynamoLedger

    def put_policy(self, policy: Policy) -> None:
        """Deploy a policy."""
        self.results.put(policy_key(policy.name), policy.model_dump_json().encode(), content_type="application/json")

    def upload(self, path: Path, policy: Policy) -> str:
        """Put a file into the inbox and tell the intake queue as S3 would; returns the job's id."""
        key = upload_key(TENANT, policy.name, path.name)
        version = self.inbox.upload(path, key)
        event = object_created(self.settings.inbox_bucket, key, version, path.stat().st_size, SystemClock().now())
        self.queues["intake"].send([event], tenant=TENANT)
        return job_id(self.settings.inbox_bucket, key, version)

    def resume(self) -> int:
        """Send again what a killed run had sent: its queues died with it. Returns the number of unfinished documents."""
        unfinished = [document for document in self.ledger.documents() if document.state not in FINISHED]
        for document in unfinished:
            self._resume(document)
        return len(unfinished)

    def _resume(self, document: DocumentRow) -> None:
        ports = self._sending_ports()
        if document.state in {"RECEIVED", "PLANNED"}:
            message = SplitContinued(sent_at=ports.clock.now(), document_id=document.document_id, first=1)
            self.queues["intake"].send([encode(message)], tenant=document.tenant)
        elif document.waiting:
            send_waiting(document, self.ledger.pages(document.document_id), ports)
        else:
            announce.ready(document, ports)

    def _sending_ports(self) -> Any:
        from types import SimpleNamespace  # noqa: PLC0415

        return SimpleNamespace(queues=self.queues, clock=SystemClock(), upgrade_window=self.settings.upgrade_window)

    def dispatcher(self, handlers: dict[str, Handler], *, workers: int, on_worker_end: Callable[[], None]) -> Dispatcher:
        """A dispatcher over this pipeline's queues; while one worker splits, the others read."""
        functions = tuple(replace(f, max_concurrency=max(1, workers // 2)) if f.name == "split_document" else f for f in self.topology.functions)
        topology = Topology(self.topology.queues, functions)
        return Dispatcher(topology, self.queues, handlers, SystemClock(), workers=workers, on_worker_end=on_worker_end)

    def job(self, identity: str) -> tuple[JobRow | None, DocumentRow | None]:
        """A job and its document, as far as they are known."""
        job = self.ledger.job(identity)
        return job, self.ledger.document(job.document_id) if job is not None and job.document_id else None


@contextmanager
def local_pipeline(
    directory: Path, *, topology: Topology = TOPOLOGY, on_row: Callable[[dict[str, Any]], None] = lambda row: None
) -> Iterator[LocalPipeline]:
    """Start the embedded AWS for an output directory, with everything its journal remembers. Restores the environment at the end."""
    state = directory / STATE_DIRECTORY
    state.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        settings = stack.enter_context(embedded_aws(topology))
        settings = settings.model_copy(update={"telemetry_file": str(state / "telemetry.jsonl"), "upgrade_window": 1})
        os.environ.update(settings.to_env())
        journal = Journal(state, settings, on_row)
        stack.callback(journal.close)
        journal.replay()
        journal.watch()
        yield LocalPipeline(
            settings=settings,
            topology=topology,
            queues={name: SqsQueue(client("sqs"), url, name) for name, url in settings.queues.items()},
            inbox=S3ObjectStore(client("s3"), settings.inbox_bucket),
            results=S3ObjectStore(client("s3"), settings.results_bucket),
            ledger=DynamoLedger(client("dynamodb"), settings.ledger_table, SystemClock()),
        )

