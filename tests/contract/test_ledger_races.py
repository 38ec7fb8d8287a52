"""What two writers at one ledger may do to each other: on DynamoDB another's write is put between a move's reading and its writing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from escriba.aws.items import pages_key
from escriba.aws.ledger import DynamoLedger
from escriba.errors import Conflict
from escriba.ledger import Ledger
from tests.contract.ledgers import DOC, check, dynamo_ledger, job, new_document, outcome, planned, row


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


def _inject_conflicts(ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch, every: int) -> list[int]:
    """Every n-th transaction is cancelled as DynamoDB does when two meet on one item (moto never does)."""
    real, calls, conflicts, lock = ledger._table.client.transact_write_items, [0], [], threading.Lock()

    def meet(**request: Any) -> Any:
        with lock:
            calls[0] += 1
            number = calls[0]
        if number % every == 0:
            conflicts.append(number)
            response: Any = {
                "Error": {"Code": "TransactionCanceledException", "Message": "Transaction cancelled"},
                "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
            }
            raise ClientError(response, "TransactWriteItems")
        return real(**request)

    monkeypatch.setattr(ledger._table.client, "transact_write_items", meet)
    return conflicts


def test_two_hundred_parallel_completions_all_land(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 completions of one document at once, with TransactionConflict injected into a third of the writes, lose nothing."""
    planned(ledger, *(row(n) for n in range(1, 201)))
    conflicts = _inject_conflicts(ledger, monkeypatch, every=3) if isinstance(ledger, DynamoLedger) else []
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.complete(DOC, [outcome(n)]), range(1, 201)))
    document = ledger.document(DOC)
    assert (document.waiting, document.done) == (0, 200)
    check(ledger)
    assert not isinstance(ledger, DynamoLedger) or len(conflicts) >= 50


def test_a_race_that_is_never_won_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    """When every try conflicts, the message fails and is tried again later."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))
        _inject_conflicts(ledger, monkeypatch, every=1)
        with pytest.raises(Conflict):
            ledger.complete(DOC, [outcome(1)])


def test_an_unpack_between_reading_and_completing_a_packet_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark is part of the transaction's condition: the completion loses its race and finds nothing to advance."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1, 3))
        client, once = ledger._table.client, [True]
        real = client.transact_write_items

        def unpacked_before(**request: Any) -> Any:
            if once:
                once.clear()
                ledger.unpack(DOC, 1, 3)
            return real(**request)

        monkeypatch.setattr(client, "transact_write_items", unpacked_before)
        assert ledger.complete(DOC, [outcome(1, 3)]).waiting == 3
        check(ledger)
