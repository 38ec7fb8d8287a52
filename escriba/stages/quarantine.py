"""Empties the dead-letter queues: says in the ledger what was lost and why, so that the rest of the document can be delivered."""

from __future__ import annotations

from escriba.errors import MessageError, NotFound
from escriba.identity import job_id
from escriba.ledger import FORGOTTEN, DeadLetter, DocumentRow, JobRow, Outcome
from escriba.messages import DocumentReady, Message, ObjectCreated, PagesRequested, SplitContinued, VisionRequested, decode
from escriba.moves import given_up
from escriba.ports import Ports
from escriba.stages import announce
from escriba.stages.escalate import settle
from escriba.stages.split import send_waiting

_SILENT = "its reader died again and again without saying why"


def quarantine(queue: str, message_id: str, body: str, ports: Ports) -> None:
    """Record one dead message of dead-letter queue `queue`."""
    ports.meter.count("DeadLetters")
    try:
        _settle(queue, decode(body), ports)
    except (MessageError, NotFound) as error:
        # Nothing in the ledger can be named: the message itself is kept for a person to look at.
        _keep(queue, message_id, body, str(error), ports)


def _keep(queue: str, message_id: str, body: str, reason: str, ports: Ports) -> None:
    ports.ledger.record_dead_letter(DeadLetter(message_id=message_id, queue=queue, reason=reason, body=body))
    ports.meter.log("error", "dead letter kept", queue=queue, message_id=message_id, reason=reason)


def _settle(queue: str, message: Message | ObjectCreated, ports: Ports) -> None:
    match queue, message:
        case "pages-dlq", PagesRequested():
            _pages(message, ports)
        case "vision-api-dlq" | "vision-dlq", VisionRequested():
            _unseen(message, ports)
        case "intake-dlq", ObjectCreated():
            _upload(message, ports)
        case "intake-dlq", SplitContinued():
            document = ports.ledger.document(message.document_id)
            if document.generation == message.generation:
                _unplanned(document, ports)
        case "assemble-dlq", DocumentReady():
            _unassembled(message, ports)
        case _:
            raise MessageError(f"{queue} carries no {message.detail_type!r}")


def _pages(message: PagesRequested, ports: Ports) -> None:
    document = ports.ledger.document(message.document_id)
    row = ports.ledger.pages_row(message.document_id, message.first, message.last)
    if row is None or (row.pages > 1 and row.state == "WAITING" and row.generation == message.generation):
        # A packet is never lost as a whole: its pages are tried alone, so that only those end here that are at fault.
        # Of one that was taken apart before, the pages may never have been sent.
        send_waiting(document, ports.ledger.unpack(message.document_id, message.first, message.last), ports)
        ports.meter.log("warning", "dead packet taken apart", document_id=message.document_id, first=message.first, last=message.last)
        return
    reason = row.failure or _SILENT
    lost = Outcome(first=row.first, last=row.last, generation=message.generation, state="QUARANTINED", reason=reason)
    after = ports.ledger.complete(message.document_id, [lost])
    if after.quarantined > document.quarantined:
        announce.quarantined(document, row, reason, ports)
    announce.ready(after, ports)


def _unseen(message: VisionRequested, ports: Ports) -> None:
    """No model could be asked about a page: its CPU reading stands."""
    document = ports.ledger.document(message.document_id)
    row = ports.ledger.pages_row(message.document_id, message.page, message.page)
    if row is not None and row.state == "WAITING" and row.generation == message.generation:
        settle(document, row, given_up(row, f"no vision reading: {row.failure or _SILENT}"), ports)


def _upload(message: ObjectCreated, ports: Ports) -> None:
    identity = job_id(message.bucket.name, message.object.key, message.object.version_id)
    job = ports.ledger.job(identity)
    if job is None or job.code == FORGOTTEN:
        failed = JobRow(job_id=identity, tenant="", key=message.object.key, code="failed", reason=f"could not be taken in: {_SILENT}")
        ports.ledger.reject_job(failed)
        ports.meter.log("error", "upload quarantined", job_id=identity)
    elif job.document_id:
        document = ports.ledger.document(job.document_id)
        if document.job_id == identity:
            # Another upload of the same bytes only waits for them.
            _unplanned(document, ports)


def _unplanned(document: DocumentRow, ports: Ports) -> None:
    if document.state in {"RECEIVED", "PLANNED"}:
        # Once its pages are under way, a dead duplicate of an earlier message must not end it.
        _reject(document, "could not be split", ports)


def _unassembled(message: DocumentReady, ports: Ports) -> None:
    document = ports.ledger.document(message.document_id)
    if message.revision < document.revision:
        announce.ready(document, ports)
    elif document.current < message.revision:
        if document.current:
            raise MessageError(
                f"revision {message.revision} of document {document.document_id} could not be assembled; the one before stands"
            )
        _reject(document, "could not be assembled", ports)


def _reject(document: DocumentRow, what: str, ports: Ports) -> None:
    document = ports.ledger.reject(document.document_id, "failed", f"{what}: {document.failure or _SILENT}")
    ports.meter.log("error", "document quarantined", document_id=document.document_id, state=document.state)
    announce.completed(document, ports)
