"""Ledgers to test, and the rows that their tests are made of."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3

from escriba.aws.ledger import DynamoLedger
from escriba.conservation import conservation_violation
from escriba.ledger import DocumentRow, JobRow, Ledger, Outcome, PagesRow
from escriba.local.embedded_aws import make_ledger_table
from escriba.memory.clock import ManualClock
from escriba.ports import Clock
from escriba.recovery import Recovery

DOC = "d" * 32


class FastClock:
    """Never waits."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(min(seconds, 0.001))


@dataclass(frozen=True)
class Books:
    """A ledger, what watches over it, and the clock that both go by."""

    ledger: Ledger
    recovery: Recovery
    clock: ManualClock

    def page(self, first: int = 1, last: int | None = None) -> PagesRow:
        """A row as it stands."""
        found = self.ledger.pages_row(DOC, first, last or first)
        assert found is not None
        return found

    def document(self) -> DocumentRow:
        return self.ledger.document(DOC)

    def under_way(self) -> list[DocumentRow]:
        return list(self.recovery.in_flight())

    def failed(self) -> list[DocumentRow]:
        return list(self.recovery.failed())

    def ended(self, *states: str, leave: bool = True) -> DocumentRow:
        """A document delivered with one page in each of these states; it has left unless told otherwise."""
        planned(self.ledger, *(row(n) for n in range(1, len(states) + 1)))
        for number, state in enumerate(states, start=1):
            self.ledger.complete(DOC, [outcome(number, state=state)])
        self.ledger.begin_assembly(DOC, 1)
        published = self.ledger.publish(DOC, 1, "PARTIAL" if "QUARANTINED" in states else "DONE")
        assert published is not None
        if leave:
            assert self.recovery.leave(published)
        self.clock.sleep(60)
        return published

    def rejected(self, code: str = "failed", *, leave: bool = True) -> DocumentRow:
        """A document that was rejected, and has left unless told otherwise."""
        self.ledger.accept(job(), new_document())
        document = self.ledger.reject(DOC, code, "because")
        if leave:
            assert self.recovery.leave(document)
        self.clock.sleep(60)
        return document


def dynamo_ledger(clock: Clock | None = None) -> DynamoLedger:
    client = boto3.client("dynamodb", region_name="us-east-1")
    make_ledger_table(client, "ledger")
    return DynamoLedger(client, "ledger", clock or FastClock())


def job(number: int = 1, document: str = DOC) -> JobRow:
    return JobRow(job_id=f"job{number}", tenant="acme", key=f"inbox/acme/default/{number}.pdf", document_id=document)


def new_document() -> DocumentRow:
    return DocumentRow(
        document_id=DOC, job_id="job1", tenant="acme", policy="{}", sha256="0" * 64, name="a.pdf", original_key="originals/acme/0"
    )


def row(first: int, last: int | None = None, **changes: Any) -> PagesRow:
    last = last or first
    route = "text_layer" if last > first else "ocr"
    return PagesRow(**{"first": first, "last": last, "route": route, "object_key": "k", "offset": 0, **changes})


def outcome(first: int, last: int | None = None, state: str = "DONE", generation: int = 1, **changes: Any) -> Outcome:
    return Outcome(
        **{"first": first, "last": last or first, "generation": generation, "state": state, "result_key": f"r{first}", **changes}
    )


def planned(ledger: Ledger, *rows: PagesRow) -> DocumentRow:
    """A document in READING with these rows."""
    ledger.accept(job(), new_document())
    ledger.add_pages(DOC, rows)
    ledger.planned(DOC, max(r.last for r in rows), "application/pdf")
    return ledger.reading(DOC)


def check(ledger: Ledger) -> None:
    assert conservation_violation(ledger.document(DOC), list(ledger.pages(DOC))) == ""
