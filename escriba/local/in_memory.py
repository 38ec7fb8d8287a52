"""The whole pipeline without AWS: the functions' own work on in-memory ports, for `escriba.read` and for tests."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from escriba.backends import Backend
from escriba.document import Document
from escriba.errors import EscribaError, VisionAway, rejection
from escriba.identity import job_id, policy_key, upload_key
from escriba.isolation import IsolatedReader
from escriba.ledger import DocumentRow, JobRow
from escriba.local.dispatcher import Dispatcher, Handler
from escriba.memory.clock import SystemClock
from escriba.memory.events import MemoryEventBus
from escriba.memory.ledger import MemoryLedger
from escriba.memory.meter import MemoryMeter
from escriba.memory.objects import MemoryObjectStore
from escriba.memory.queue import MemoryQueue
from escriba.memory.recovery import MemoryRecovery
from escriba.memory.secrets import MemorySecrets
from escriba.messages import object_created
from escriba.policy import Policy
from escriba.ports import Clock, Delivery, Meter, Ports, Reader, Secrets, no_vision
from escriba.stages.split import accept
from escriba.topology import TOPOLOGY, Topology
from escriba.vision import VisionModel
from lambdas import assemble_document, canary, quarantine, read_with_api, recognise_pages, reconcile, split_document
from lambdas.entry import Received, Work, short_name

_INBOX = "inbox"
_PASSWORD = "password"  # noqa: S105  (the secret's name)


class InMemoryPipeline:
    """Ports, queues and handlers of one pipeline in memory."""

    def __init__(
        self,
        *,
        reader: Reader,
        scratch: Path,
        clock: Clock | None = None,
        topology: Topology = TOPOLOGY,
        secrets: Secrets | None = None,
        meter: Meter | None = None,
        backends: Sequence[Backend] = (),
        vision: Callable[[Backend], VisionModel] = no_vision,
    ) -> None:
        """`vision` is what asks one of the `backends`, which are the vision models that this pipeline has."""
        clock = clock or SystemClock()
        self.topology = topology
        letters = {q.name: MemoryQueue(q, clock, None) for q in topology.all_queues() if not q.dead_letters}
        sources = {q.name: MemoryQueue(q, clock, letters[q.dead_letter_name]) for q in topology.queues}
        self.queues = sources | letters
        ledger = MemoryLedger(clock)
        self.ports = Ports(
            inbox=MemoryObjectStore(versioned=True, bucket=_INBOX, clock=clock),
            results=MemoryObjectStore(clock=clock),
            ledger=ledger,
            recovery=MemoryRecovery(ledger),
            queues=self.queues,
            events=MemoryEventBus(),
            clock=clock,
            meter=meter or MemoryMeter(),
            reader=reader,
            secrets=secrets or MemorySecrets(),
            scratch=scratch,
            upgrade_window=1,
            backends=backends,
            vision=vision,
        )

    def handlers(self) -> dict[str, Handler]:
        """One handler a function, doing the deployed function's work on these ports."""
        return {
            "split_document": self.handler(
                lambda received, ports: split_document.split(received, ports, lambda upload: accept(upload, ports))
            ),
            "recognise_pages": self.handler(recognise_pages.work),
            "read_with_api": self.handler(read_with_api.work),
            "assemble_document": self.handler(assemble_document.work),
            "quarantine": self.handler(quarantine.work),
            "reconcile": self.scheduled(reconcile.work),
            "canary": self.scheduled(canary.work),
        }

    def handler(self, work: Work) -> Handler:
        """A handler that answers with the messages that failed."""

        def handle(event: dict[str, Any], context: Any) -> Mapping[str, Any]:
            failed = []
            for record in event["Records"]:
                message = Delivery(
                    record["messageId"], record["receiptHandle"], record["body"], int(record["attributes"]["ApproximateReceiveCount"])
                )
                try:
                    work(Received(short_name(record["eventSourceARN"].rpartition(":")[2]), message, context), self._worker_ports())
                except Exception as error:  # noqa: BLE001  (as Lambda does: the message failed, whatever it was)
                    reason = str(error) if isinstance(error, EscribaError) else ""
                    if not isinstance(error, VisionAway):
                        self.ports.meter.count("MessagesFailed")
                    self.ports.meter.log("error", "message failed", error=type(error).__name__, reason=reason)
                    failed.append({"itemIdentifier": record["messageId"]})
            return {"batchItemFailures": failed}

        return handle

    def scheduled(self, work: Callable[[Ports], None]) -> Handler:
        """A handler for a schedule."""

        def handle(event: dict[str, Any], context: Any) -> Mapping[str, Any]:  # noqa: ARG001  (Lambda's signature)
            work(self._worker_ports())
            return {}

        return handle

    def _worker_ports(self) -> Ports:
        """These ports with a scratch directory of the calling thread's own."""
        scratch = self.ports.scratch / str(threading.get_ident())
        scratch.mkdir(parents=True, exist_ok=True)
        return replace(self.ports, scratch=scratch)

    def upload(self, name: str, data: bytes, *, tenant: str = "local", policy: str = "default") -> str:
        """Put a document into the inbox and its event into the intake queue; returns the job's id."""
        key = upload_key(tenant, policy, name)
        version = self.ports.inbox.put(key, data)
        self.queues["intake"].send([object_created(_INBOX, key, version, len(data), self.ports.clock.now())])
        return job_id(_INBOX, key, version)

    def run(self, *, workers: int = 1, retry_delay: int = 1, idle: float = 0.05) -> None:
        """Work until every queue is empty."""
        Dispatcher(self.topology, self.queues, self.handlers(), self.ports.clock, workers=workers, retry_delay=retry_delay, idle=idle).run()

    def result(self, job: str) -> tuple[JobRow, DocumentRow | None]:
        """The job and, unless it was rejected at the door, its document."""
        row = self.ports.ledger.job(job)
        assert row is not None, "the pipeline ended without recording the job"  # noqa: S101  (an invariant, not input)
        return row, self.ports.ledger.document(row.document_id) if row.document_id else None


def read(source: Path | str | bytes, *, policy: Policy | None = None, password: str = "") -> Document:
    """Read one document through the whole pipeline in memory and return it.

    `source` is a path or the file's bytes. Pages that could not be read stand in the document as QUARANTINED, with the reason.
    Raises the `PermanentError` that says why the document was rejected as a whole, and OSError for an unreadable path.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    wishes, secrets = policy or Policy(), MemorySecrets()
    if password:
        wishes, secrets = wishes.model_copy(update={"password_secret": _PASSWORD}), MemorySecrets({_PASSWORD: password})
    with tempfile.TemporaryDirectory(prefix="escriba-") as name, closing(IsolatedReader()) as reader:
        pipeline = InMemoryPipeline(reader=reader, scratch=Path(name), secrets=secrets)
        pipeline.ports.results.put(policy_key(wishes.name), wishes.model_dump_json().encode())
        job_id = pipeline.upload("document", data, policy=wishes.name)
        pipeline.run()
        job, document = pipeline.result(job_id)
        if document is None or document.state == "REJECTED":
            raise rejection(*((job.code, job.reason) if document is None else (document.code, document.reason)))
        return msgspec.json.decode(pipeline.ports.results.get(document.output_prefix + "document.json"), type=Document)
