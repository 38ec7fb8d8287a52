"""Sends again, from the ledger, what failed: quarantined pages, rejected documents, uploads that were given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from escriba.errors import Corrupt, PermanentError, Unsupported
from escriba.identity import job_id, parse_upload_key
from escriba.ledger import FORGOTTEN, DocumentRow, JobRow, PagesRow
from escriba.messages import ObjectCreated, encode
from escriba.moves import SURROUNDINGS
from escriba.policy import Policy
from escriba.ports import Ports, StoredVersion
from escriba.stages.reconcile import send_upload, split_again
from escriba.stages.split import policy_named, request
from escriba.topology import MAX_RESENDS

MAX_REDRIVES = 3
"""How often a page is sent again by hand: what failed for good so often costs more than it will ever give."""
Verdict = Literal["again", "capped", "hopeless"]
"""Whether it can be sent again, has been as often as is allowed, or failed by its own bytes and would do so again."""
_BYTES = {Corrupt.code, Unsupported.code}
USD_PER_PAGE = {"ocr": 0.00022, "text_layer": 0.000003}
"""What reading a page once costs on AWS: docs/deploy.md, "What 1,000 pages cost"."""


@dataclass(frozen=True)
class Wanted:
    """Which failures: a part of the reason, a document's id or name, a tenant, and since when (seconds since 1970)."""

    reason: str = ""
    document: str = ""
    tenant: str = ""
    since: float = 0.0

    def names(self, document: DocumentRow) -> bool:
        """Whether this document is meant, its reason apart."""
        return (
            (
                self.document in {"", document.name, PurePath(document.name).stem}
                or (len(self.document) >= 4 and document.document_id.startswith(self.document))  # noqa: PLR2004
            )
            and self.tenant in {"", document.tenant}
            and max(document.completed_at, document.received_at) >= self.since
        )


@dataclass(frozen=True)
class Failed:
    """One thing to send again: pages of a document, a document as a whole (no row), or an upload (no document)."""

    reason: str
    document: DocumentRow | None = None
    row: PagesRow | None = None
    upload: StoredVersion | None = None

    @property
    def pages(self) -> int:
        return self.row.pages if self.row else self.document.total if self.document else 0

    @property
    def usd(self) -> float:
        """What reading it once more is estimated to cost."""
        return self.pages * USD_PER_PAGE[self.row.route if self.row else "ocr"]

    @property
    def verdict(self) -> Verdict:
        """What a redrive would do with it."""
        if self.row is not None:
            return "hopeless" if self.row.code in _BYTES else "again" if self.row.redrives < MAX_REDRIVES else "capped"
        return "again" if self.document is None or self.document.code in SURROUNDINGS else "hopeless"


@dataclass
class Plan:
    """What a redrive would do: `again` is to be sent, `over` is what the limit leaves for the next one; see `Verdict` for the others."""

    again: list[Failed] = field(default_factory=list)
    over: int = 0
    capped: int = 0
    hopeless: int = 0

    def reasons(self) -> Counter[str]:
        """Pages (documents and uploads without pages count as one) by reason."""
        counts: Counter[str] = Counter()
        for failed in self.again:
            counts[failed.reason] += max(1, failed.pages)
        return counts

    @property
    def usd(self) -> float:
        return sum(failed.usd for failed in self.again)


def plan(wanted: Wanted, limit: int, ports: Ports) -> Plan:
    """Look for what failed, at most `limit` things; changes nothing."""
    made = Plan()
    for failed in failures(wanted, ports):
        if failed.verdict == "capped":
            made.capped += 1
        elif failed.verdict == "hopeless":
            made.hopeless += 1
        elif len(made.again) < limit:
            made.again.append(failed)
        else:
            made.over += 1
    return made


def redrive(made: Plan, ports: Ports) -> int:
    """Send what the plan names; returns how much of it was still there to be sent."""
    return sum(_send(failed, ports) for failed in made.again)


def redrive_as_mended(document_id: str, upload: ObjectCreated, ports: Ports) -> None:
    """Send the failed pages of a delivered document that was uploaded again under other limits: they are what a page may have failed by."""
    document = ports.ledger.document(document_id)
    if document.state != "PARTIAL":
        return
    try:
        policy = policy_named(parse_upload_key(upload.object.key).policy, ports)
    except PermanentError:  # taken away since the upload was taken in
        return
    if policy.limits == Policy.model_validate_json(document.policy).limits:
        return
    adopted = ports.recovery.adopt(document, policy.model_dump_json())
    if adopted is not None:
        rows = (row for row in ports.ledger.pages(document_id) if row.state == "QUARANTINED")
        redrive(Plan([failed for row in rows if (failed := Failed(row.reason, adopted, row)).verdict == "again"]), ports)


def failures(wanted: Wanted, ports: Ports) -> Iterator[Failed]:
    """Everything that failed and is wanted."""
    return (failed for failed in _failures(wanted, ports) if wanted.reason.casefold() in failed.reason.casefold())


def _failures(wanted: Wanted, ports: Ports) -> Iterator[Failed]:
    # Those that the reconciler has not looked at since their end still stand among those under way.
    for documents in (ports.recovery.failed(), ports.recovery.in_flight()):
        for document in documents:
            if not wanted.names(document):
                continue
            if document.state == "REJECTED":
                yield Failed(document.reason, document)
            elif document.quarantined:
                rows = ports.ledger.pages(document.document_id)
                yield from (Failed(row.reason, document, row) for row in rows if row.state == "QUARANTINED")
    if not wanted.document:
        yield from _failed_uploads(wanted, ports)


def _failed_uploads(wanted: Wanted, ports: Ports) -> Iterator[Failed]:
    for upload in ports.inbox.versions(f"inbox/{wanted.tenant}/" if wanted.tenant else "inbox/"):
        job = ports.ledger.job(job_id(ports.inbox.bucket, upload.key, upload.version))
        if job is not None and upload.stored_at >= wanted.since and (reason := _given_up(job)):
            yield Failed(reason, upload=upload)


def _given_up(job: JobRow) -> str:
    """Why nothing more comes of an upload by itself; empty when something does, or when it failed by its own bytes."""
    if job.document_id:
        return ""
    if job.code == FORGOTTEN:
        return f"its event was lost {MAX_RESENDS + 1} times" if job.resends >= MAX_RESENDS else ""
    return job.reason if job.code == "failed" else ""


def _send(failed: Failed, ports: Ports) -> bool:
    if failed.upload is not None:
        send_upload(failed.upload, ports)
        return True
    document = failed.document
    assert document is not None  # noqa: S101  (a failure is one of the three)
    if failed.row is None:
        opened = ports.recovery.reopen(document)
        if opened is not None:
            ports.queues["intake"].send([encode(split_again(opened, ports))], tenant=document.tenant)
        return opened is not None
    row = ports.recovery.redrive(document.document_id, failed.row)
    if row is not None:
        ports.queues[row.queue].send([encode(request(document, row, ports))], tenant=document.tenant)
    return row is not None
