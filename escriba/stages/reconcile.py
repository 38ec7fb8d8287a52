"""Looks after what the straight line has lost sight of: recomputes the conservation law, sends lost work again, publishes what waits.

A message is lost when it was sent before the oldest one that its queue still holds, by a margin: a backlog alone never makes it send.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from msgspec.structs import replace

from escriba.backends import patience
from escriba.conservation import conservation_violation
from escriba.errors import RetryableError, Unsupported
from escriba.identity import job_id, parse_upload_key
from escriba.ledger import FORGOTTEN, DocumentRow, JobRow, PagesRow
from escriba.messages import SplitContinued, encode, object_created
from escriba.moves import given_up, has_ended
from escriba.policy import Policy
from escriba.ports import Ports, StoredVersion
from escriba.stages import announce, escalate
from escriba.stages.figures import CANARY
from escriba.stages.split import request
from escriba.topology import MAX_RESENDS, TOPOLOGY

MARGIN = 600.0
"""Seconds by which a message must be older than its queue's oldest: CloudWatch tells of a queue's age some minutes late."""
OVERDUE, OVERDUE_A_PAGE = 3600.0, 10.0
"""Seconds that a document may take, and those it may take more for each of its pages."""
GRACE = 30.0
"""Seconds past its patience after which a page no longer waits for a vision model, though none has said so: those at work are given the time."""
SECONDS = 200.0
"""When to leave the rest to the next run: the function has 240."""


@dataclass
class Findings:
    """What one run saw: documents under way by state, their waiting pages, seconds the oldest of these waits, and what was done."""

    states: Counter[str]
    waiting: int = 0
    oldest: float = 0.0
    overdue: int = 0
    violations: int = 0
    resent: int = 0
    complete: bool = True


def reconcile(ports: Ports) -> Findings:
    """One run; safe beside itself and beside everything else."""
    began = ports.clock.now()
    run = _Run(ports, began.timestamp())
    documents = list(ports.recovery.in_flight())
    run.awaited = sum(document.waiting for document in documents)
    for document in documents:
        if (ports.clock.now() - began).total_seconds() > SECONDS:
            run.found.complete = False
            ports.meter.log("warning", "reconciler out of time", documents=run.found.states.total())
            break
        try:
            run.look_after(document)
        except RetryableError as error:
            # The trouble of one must not keep the others from being looked after.
            run.found.complete = False
            ports.meter.log("warning", "document not looked after", document_id=document.document_id, error=type(error).__name__)
    run.send_forgotten_uploads()
    _publish(run.found, (ports.clock.now() - began).total_seconds(), ports)
    return run.found


class _Run:
    def __init__(self, ports: Ports, now: float) -> None:
        self._ports, self._now = ports, now
        self.found = Findings(Counter())
        self.awaited = 0  # pages, the canary's too
        self._held_since = {name: self._oldest_sent(name) for name in (queue.name for queue in TOPOLOGY.queues)}
        self._in_queues_of_pages = sum(ports.queues[name].depth().total for name in ("pages", "vision-api", "vision"))

    def _oldest_sent(self, queue: str) -> float | None:
        """When the oldest message that the queue holds was sent; None when that is not known, or when one may be among its dead letters."""
        if self._ports.queues[f"{queue}-dlq"].depth().total:
            return None
        age = self._ports.queues[queue].oldest()
        return None if age is None else self._now - age

    def _lost(self, sent_at: float, queue: str) -> bool:
        held_since = self._held_since[queue]
        return held_since is not None and sent_at < held_since - MARGIN

    def look_after(self, document: DocumentRow) -> None:
        ended = has_ended(document)
        if not ended and document.tenant != CANARY:
            self._count(document)
        if ended:
            # Looked at once after its end, whatever its end: this is where a page that nobody accounts for comes to light.
            if self._conserved(document, list(self._ports.ledger.pages(document.document_id))):
                self._ports.recovery.leave(document)
        elif document.state in {"RECEIVED", "PLANNED"}:
            if self._lost(document.moved_at, "intake"):
                self._prod(document)
        elif document.waiting:
            if document.escalated_at or self._lost(document.sent_at, "pages"):
                self._look_at_pages(document)
        elif self._lost(document.moved_at, "assemble"):
            self._prod(document)

    def _count(self, document: DocumentRow) -> None:
        self.found.states[document.state] += 1
        self.found.waiting += document.waiting
        since = max(document.received_at, document.sent_at)
        if document.waiting:
            self.found.oldest = max(self.found.oldest, self._now - since)
        self.found.overdue += self._now - since > OVERDUE + OVERDUE_A_PAGE * document.total

    def _conserved(self, document: DocumentRow, rows: list[PagesRow]) -> bool:
        violation = conservation_violation(document, rows)
        if violation and self._ports.ledger.document(document.document_id) == document:
            # Rows read while it moves prove nothing.
            self.found.violations += 1
            self._ports.meter.log("error", "conservation violated", document_id=document.document_id, violation=violation)
        return not violation

    def _look_at_pages(self, document: DocumentRow) -> None:
        rows = list(self._ports.ledger.pages(document.document_id))
        self._conserved(document, rows)
        seconds = patience(Policy.model_validate_json(document.policy))
        for row in rows:
            if row.state != "WAITING":
                continue
            if row.escalated_at and self._now - row.escalated_at > seconds + GRACE:
                # Its message stays where it is: a model that reads the page yet makes the document better afterwards.
                escalate.settle(document, row, given_up(row, escalate.LATE), self._ports)
            elif self._lost(row.sent_at, row.queue) and self._ledger_waits_for_more():
                self._resend(document, row)

    def _ledger_waits_for_more(self) -> bool:
        return self.awaited > self._in_queues_of_pages or not self._in_queues_of_pages

    def _resend(self, document: DocumentRow, row: PagesRow) -> None:
        if row.resends >= MAX_RESENDS:
            lost = given_up(row, row.failure or f"its message was lost {MAX_RESENDS + 1} times")
            if lost.state == "QUARANTINED":
                announce.quarantined(document, row, lost.reason, self._ports)
            announce.ready(self._ports.ledger.complete(document.document_id, [lost]), self._ports)
        elif (again := self._ports.recovery.resend(document.document_id, row)) is not None:
            if again.escalated_at:
                escalate.send_again(document, again, self._ports)
            else:
                self._ports.queues[row.queue].send([encode(request(document, again, self._ports))], tenant=document.tenant)
            self._note("pages sent again", document_id=document.document_id, first=row.first, last=row.last)

    def _prod(self, document: DocumentRow) -> None:
        if document.prods >= MAX_RESENDS:
            if not document.current:
                reason = document.failure or f"its message was lost {MAX_RESENDS + 1} times"
                announce.completed(self._ports.ledger.reject(document.document_id, "failed", reason), self._ports)
            return
        prodded = self._ports.recovery.prod(document)
        if prodded is None:
            return
        if prodded.state in {"RECEIVED", "PLANNED"}:
            self._ports.queues["intake"].send([encode(split_again(prodded, self._ports))], tenant=document.tenant)
        else:
            announce.ready(prodded, self._ports)
        self._note("document sent again", document_id=document.document_id, state=document.state)

    def send_forgotten_uploads(self) -> None:
        """Uploads that lie in the inbox and never became jobs: their event was lost."""
        for upload in self._ports.inbox.versions("inbox/"):
            if self._lost(upload.stored_at, "intake"):
                self._look_at_upload(upload)

    def _look_at_upload(self, upload: StoredVersion) -> None:
        identity = job_id(self._ports.inbox.bucket, upload.key, upload.version)
        job = self._ports.ledger.job(identity) or JobRow(job_id=identity, tenant=_tenant(upload.key), key=upload.key, code=FORGOTTEN)
        if job.document_id:
            # Taken in, and the process died before it took the upload out.
            self._ports.inbox.delete(upload.key, version=upload.version)
        elif (
            job.code == FORGOTTEN
            and job.resends < MAX_RESENDS
            and self._lost(job.sent_at, "intake")
            and self._ports.recovery.note_upload(replace(job, resends=job.resends + 1, sent_at=self._now))
        ):
            send_upload(upload, self._ports)
            self._note("upload sent again", job_id=identity)

    def _note(self, event: str, **fields: object) -> None:
        self.found.resent += 1
        self._ports.meter.log("warning", event, **fields)


def split_again(document: DocumentRow, ports: Ports) -> SplitContinued:
    """The message that has a document planned from its first page: what stands already is kept."""
    return SplitContinued(sent_at=ports.clock.now(), document_id=document.document_id, first=1, generation=document.generation)


def send_upload(upload: StoredVersion, ports: Ports) -> None:
    """Tell the intake queue of an upload, as S3 would."""
    event = object_created(ports.inbox.bucket, upload.key, upload.version, upload.size, ports.clock.now())
    ports.queues["intake"].send([event], tenant=_tenant(upload.key))


def _tenant(key: str) -> str:
    try:
        return parse_upload_key(key).tenant
    except Unsupported:
        return ""


def _publish(found: Findings, seconds: float, ports: Ports) -> None:
    """Every run publishes every figure: silence means that nobody looked."""
    ports.meter.count("ReconcilerRuns")
    ports.meter.count("ReconcilerSeconds", seconds, unit="Seconds")
    for metric, value in (
        ("DocumentsInFlight", found.states.total()),
        ("DocumentsOverdue", found.overdue),
        ("PagesWaiting", found.waiting),
        ("ConservationViolations", found.violations),
        ("WorkResent", found.resent),
    ):
        ports.meter.count(metric, value)
    ports.meter.count("OldestWaiting", found.oldest, unit="Seconds")
    ports.meter.log("info", "reconciled", states=dict(found.states), complete=found.complete)
