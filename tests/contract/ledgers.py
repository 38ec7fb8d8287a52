"""Ledgers to test, and the rows that their tests are made of."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import boto3

from escriba.aws.ledger import DynamoLedger
from escriba.conservation import conservation_violation
from escriba.ledger import DocumentRow, JobRow, Ledger, Outcome, PagesRow
from escriba.local.embedded_aws import make_ledger_table

DOC = "d" * 32


class FastClock:
    """Never waits."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(min(seconds, 0.001))


def dynamo_ledger() -> DynamoLedger:
    client = boto3.client("dynamodb", region_name="us-east-1")
    make_ledger_table(client, "ledger")
    return DynamoLedger(client, "ledger", FastClock())


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
