"""What two writers at one ledger may do to each other: on DynamoDB another's write is put between a move's reading and its writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from escriba.aws.items import pages_key
from escriba.aws.ledger import DynamoLedger
from escriba.errors import Throttled
from tests.contract.ledgers import DOC, check, job, new_document, outcome, planned, row


def just_before(ledger: DynamoLedger, request: str, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `act` happen once, right before the ledger's next request of this name."""
    real, once = getattr(ledger._table.client, request), [True]

    def meet(**arguments: Any) -> Any:
        if once:
            once.clear()
            act()
        return real(**arguments)

    monkeypatch.setattr(ledger._table.client, request, meet)


def test_a_failure_that_meets_a_success_is_too_late(dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """DONE lands between the failure's reading and its writing: it stands, and is counted once."""
    planned(dynamo, row(1))
    just_before(dynamo, "transact_write_items", lambda: dynamo.complete(DOC, [outcome(1)]), monkeypatch)
    after = dynamo.complete(DOC, [outcome(1, state="QUARANTINED")])
    assert (after.done, after.quarantined) == (1, 0)
    check(dynamo)


def test_a_failure_that_meets_a_new_generation_is_too_late(dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redrive makes the page wait anew while its old failure is written."""
    planned(dynamo, row(1))
    redrive = dynamo._table.update(pages_key(DOC, 1, 1), {"generation": 2}, "attribute_exists(#pk)", {})
    just_before(dynamo, "transact_write_items", lambda: dynamo._table.apply(redrive), monkeypatch)
    assert dynamo.complete(DOC, [outcome(1, state="QUARANTINED")]).waiting == 1
    check(dynamo)


def test_a_better_page_that_meets_the_beginning_of_an_assembly_asks_for_another(
    dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The assembly may have read the old page, so that its revision is not enough."""
    planned(dynamo, row(1))
    dynamo.complete(DOC, [outcome(1, state="QUARANTINED")])
    just_before(dynamo, "transact_write_items", lambda: dynamo.begin_assembly(DOC, 1), monkeypatch)
    assert dynamo.complete(DOC, [outcome(1)]).revision == 2
    check(dynamo)


@pytest.mark.parametrize("meanwhile", ["completed", "taken apart"])
def test_a_packet_that_was_moved_meanwhile_is_not_taken_apart(
    dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """Completed, it stays whole; taken apart by another, what came of its pages since then stays too."""
    planned(dynamo, row(1, 3))

    def take_apart_and_read_one() -> None:
        dynamo.unpack(DOC, 1, 3)
        dynamo.complete(DOC, [outcome(2)])

    act = take_apart_and_read_one if meanwhile == "taken apart" else lambda: dynamo.complete(DOC, [outcome(1, 3)])
    just_before(dynamo, "transact_write_items", act, monkeypatch)
    singles = dynamo.unpack(DOC, 1, 3)
    assert [r.state for r in singles] == (["WAITING", "DONE", "WAITING"] if meanwhile == "taken apart" else [])
    check(dynamo)


def test_a_document_is_opened_again_once_a_generation(dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another upload opened it and it failed again meanwhile: the late one does not open that generation a second time."""
    dynamo.accept(job(1), new_document())
    dynamo.reject(DOC, "failed", "because")

    def another_try() -> None:
        dynamo.accept(job(2), new_document())
        dynamo.reject(DOC, "failed", "again")

    just_before(dynamo, "update_item", another_try, monkeypatch)
    late = dynamo.accept(job(3), new_document())
    assert (late.generation, late.job_id, late.reason) == (2, "job2", "again")


def test_two_plans_at_once_lay_no_page_down_twice(dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """They packed the pages in different ways: one writes, the other fills what is left."""
    dynamo.accept(job(), new_document())
    just_before(dynamo, "transact_write_items", lambda: dynamo.add_pages(DOC, [row(1), row(2, 3)]), monkeypatch)
    dynamo.add_pages(DOC, [row(1, 5)])
    assert [(r.first, r.last) for r in dynamo.pages(DOC)] == [(1, 1), (2, 3), (4, 5)]
    dynamo.planned(DOC, 5, "application/pdf")
    check(dynamo)


@pytest.mark.parametrize("reason", ["ValidationError", "ItemCollectionSizeLimitExceeded"])
def test_a_transaction_cancelled_for_another_reason_than_a_race_is_not_run_again(
    dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """It would be refused for ever: the error comes through at once, as it is."""
    planned(dynamo, row(1))
    calls = []

    def refuse(**_: Any) -> Any:
        calls.append(1)
        response: Any = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": [{"Code": reason}]}
        raise ClientError(response, "TransactWriteItems")

    monkeypatch.setattr(dynamo._table.client, "transact_write_items", refuse)
    with pytest.raises(ClientError):
        dynamo.complete(DOC, [outcome(1)])
    assert len(calls) == 1


def test_throttled_transactions_are_said_in_our_own_words(dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Throttled`, which is retryable, whichever move it was."""
    planned(dynamo, row(1, 3))

    def slow_down(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "TransactWriteItems")

    monkeypatch.setattr(dynamo._table.client, "transact_write_items", slow_down)
    moves: list[Callable[[], object]] = [
        lambda: dynamo.complete(DOC, [outcome(1, 3)]),
        lambda: dynamo.unpack(DOC, 1, 3),
        lambda: dynamo.add_pages(DOC, [row(4)]),
    ]
    for move in moves:
        with pytest.raises(Throttled):
            move()
