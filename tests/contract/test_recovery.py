"""What the reconciler and a redrive ask of the ledger: the same answers from memory and from DynamoDB."""

from __future__ import annotations

import boto3
import pytest

from escriba.aws.ledger import DynamoLedger
from escriba.aws.recovery import DynamoRecovery
from escriba.ledger import Ledger
from escriba.memory.ledger import MemoryLedger
from escriba.memory.recovery import MemoryRecovery
from escriba.recovery import Recovery
from tests.contract.ledgers import DOC, FastClock, check, outcome, planned, row


@pytest.fixture
def recovery(ledger: Ledger) -> Recovery:
    if isinstance(ledger, MemoryLedger):
        return MemoryRecovery(ledger)
    assert isinstance(ledger, DynamoLedger)
    return DynamoRecovery(boto3.client("dynamodb", region_name="us-east-1"), "ledger", FastClock())


def watched(recovery: Recovery) -> tuple[list[str], list[str]]:
    return [d.document_id for d in recovery.in_flight()], [d.document_id for d in recovery.failed()]


@pytest.mark.parametrize(("state", "left"), [("DONE", ([], [])), ("QUARANTINED", ([], [DOC]))])
def test_what_has_ended_leaves(ledger: Ledger, recovery: Recovery, state: str, left: tuple[list[str], list[str]]) -> None:
    """Whole ones are looked at no more, others stand among the failed; none leaves before its end."""
    document = planned(ledger, row(1))
    assert not recovery.leave(document)
    ledger.complete(DOC, [outcome(1, state=state, result_key="")])
    ledger.begin_assembly(DOC, 1)
    ended = ledger.publish(DOC, 1, "DONE" if state == "DONE" else "PARTIAL")
    assert ended is not None
    assert watched(recovery) == ([DOC], [])
    assert not recovery.leave(document)
    assert recovery.leave(ended)
    assert watched(recovery) == left


def test_a_redriven_page_waits_once(ledger: Ledger, recovery: Recovery) -> None:
    """In its next generation; the row as it was can be sent no second time, and the document asks for a new revision."""
    planned(ledger, row(1), row(2))
    ledger.complete(DOC, [outcome(1), outcome(2, state="QUARANTINED", result_key="")])
    ledger.begin_assembly(DOC, 1)
    ended = ledger.publish(DOC, 1, "PARTIAL")
    assert ended is not None
    assert recovery.leave(ended)
    lost = ledger.pages_row(DOC, 2, 2)
    assert lost is not None
    again = recovery.redrive(DOC, lost)
    assert again is not None
    assert (again.state, again.generation, again.redrives) == ("WAITING", 2, 1)
    assert recovery.redrive(DOC, lost) is None
    document = ledger.document(DOC)
    assert (document.state, document.waiting, document.quarantined, document.revision) == ("READING", 1, 0, 2)
    assert watched(recovery) == ([DOC], [])
    check(ledger)


def test_a_rejected_document_is_opened_again_once(ledger: Ledger, recovery: Recovery) -> None:
    """In its next generation."""
    planned(ledger, row(1))
    rejected = ledger.reject(DOC, "failed", "because")
    opened = recovery.reopen(rejected)
    assert opened is not None
    assert (opened.state, opened.generation, opened.reason) == ("RECEIVED", 2, "")
    assert recovery.reopen(rejected) is None
