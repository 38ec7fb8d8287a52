"""One suite for the port Ledger, run against memory and against DynamoDB as moto plays it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from escriba.aws.ledger import DynamoLedger
from escriba.errors import Conflict, NotFound, Throttled
from escriba.ledger import DeadLetter, DocumentRow, JobRow, Ledger, PagesRow, conservation_violation
from escriba.local.moto_repairs import repaired_moto
from tests.contract.ledgers import DOC, FastClock, check, dynamo_ledger, job, new_document, outcome, planned, row


def test_accepting_twice_keeps_the_first_document_and_both_jobs(ledger: Ledger) -> None:
    """The same bytes uploaded twice are one document with two jobs."""
    first = ledger.accept(job(1), new_document())
    ledger.planned(DOC, 0, "application/pdf")
    second = ledger.accept(job(2), new_document())
    assert first.state == "RECEIVED"
    assert second.state == "PLANNED"
    assert [ledger.job(j).document_id for j in ("job1", "job2")] == [DOC, DOC]  # type: ignore[union-attr]
    assert [d.document_id for d in ledger.documents()] == [DOC]
    assert first.received_at == FastClock().now().timestamp()


def test_unknown_things(ledger: Ledger) -> None:
    """An unknown document is an error, an unknown job or row is None."""
    with pytest.raises(NotFound):
        ledger.document("nothing")
    assert ledger.job("nothing") is None
    assert ledger.pages_row("nothing", 1, 1) is None
    assert list(ledger.pages("nothing")) == []


def test_a_job_rejected_at_the_door_keeps_its_reason(ledger: Ledger) -> None:
    """A job without a document says why."""
    ledger.reject_job(JobRow(job_id="j", tenant="acme", key="k", code="over_limit", reason="too big"))
    assert ledger.job("j") == JobRow(job_id="j", tenant="acme", key="k", code="over_limit", reason="too big")


@pytest.mark.parametrize(("code", "state"), [("encrypted", "RECEIVED"), ("failed", "RECEIVED"), ("corrupt", "REJECTED")])
def test_only_what_the_surroundings_failed_is_opened_again(ledger: Ledger, code: str, state: str) -> None:
    """A missing password may be given next time; broken bytes stay broken."""
    ledger.accept(job(1), new_document())
    ledger.reject(DOC, code, "because")
    again = ledger.accept(job(2), msgspec.structs.replace(new_document(), policy='{"limits": "raised"}'))
    opened = state == "RECEIVED"
    assert again.policy == ('{"limits": "raised"}' if opened else "{}")
    assert (again.state, again.generation, again.job_id) == (state, 2 if opened else 1, "job2" if opened else "job1")


def test_states_only_move_forward(ledger: Ledger) -> None:
    """RECEIVED -> PLANNED -> READING; repeating a move, or making an earlier one, changes nothing."""
    document = planned(ledger, row(1), row(2, 4))
    assert (document.state, document.total, document.waiting, document.media_type) == ("READING", 4, 4, "application/pdf")
    assert ledger.planned(DOC, 9, "image/png") == document
    assert ledger.reading(DOC) == document
    check(ledger)


def test_adding_rows_twice_changes_nothing(ledger: Ledger) -> None:
    """Replaying a plan after a page is done does not make it wait again."""
    planned(ledger, row(1), row(2, 4))
    ledger.complete(DOC, [outcome(1)])
    ledger.add_pages(DOC, [row(1), row(2, 4)])
    assert [(r.first, r.last, r.state) for r in ledger.pages(DOC)] == [(1, 1, "DONE"), (2, 4, "WAITING")]
    check(ledger)


def test_completion_counts_pages_and_keeps_what_was_read(ledger: Ledger) -> None:
    """A row takes over the outcome; the document's counters move with it, in one step."""
    planned(ledger, row(1), row(2, 4))
    after = ledger.complete(
        DOC, [outcome(1, state="DEGRADED", reason="low", engine="x", confidence=0.5, seconds=1.25), outcome(2, 4, engine="text_layer")]
    )
    assert (after.waiting, after.done, after.degraded, after.quarantined, after.revision) == (0, 3, 1, 0, 1)
    kept = ledger.pages_row(DOC, 1, 1)
    assert kept is not None
    assert (kept.state, kept.reason, kept.engine, kept.confidence, kept.seconds, kept.result_key) == (
        "DEGRADED",
        "low",
        "x",
        0.5,
        1.25,
        "r1",
    )
    check(ledger)


def test_a_stale_failure_never_overwrites_a_success(ledger: Ledger) -> None:
    """QUARANTINED after DONE or DEGRADED changes nothing."""
    planned(ledger, row(1), row(2))
    before = ledger.complete(DOC, [outcome(1), outcome(2, state="DEGRADED")])
    after = ledger.complete(DOC, [outcome(1, state="QUARANTINED"), outcome(2, state="QUARANTINED")])
    assert after == before
    check(ledger)


def test_a_failure_speaks_only_for_its_generation(ledger: Ledger) -> None:
    """A dead letter of generation 1 does not quarantine pages that wait in generation 2."""
    planned(ledger, row(1, generation=2))
    assert ledger.complete(DOC, [outcome(1, state="QUARANTINED", generation=1)]).quarantined == 0
    assert ledger.complete(DOC, [outcome(1, state="QUARANTINED", generation=2)]).quarantined == 1
    check(ledger)


def test_a_better_outcome_upgrades_and_asks_for_one_new_revision(ledger: Ledger) -> None:
    """Late successes after the delivery make one new revision, until that one is begun."""
    planned(ledger, row(1), row(2), row(3))
    ledger.complete(DOC, [outcome(1), outcome(2, state="QUARANTINED"), outcome(3, state="DEGRADED")])
    ledger.begin_assembly(DOC, 1)
    ledger.publish(DOC, 1, "PARTIAL")
    first = ledger.complete(DOC, [outcome(2)])
    second = ledger.complete(DOC, [outcome(3)])
    assert (first.revision, second.revision) == (2, 2)
    assert (second.done, second.degraded, second.quarantined, second.state, second.current) == (3, 0, 0, "PARTIAL", 1)
    check(ledger)


def test_an_upgrade_during_an_assembly_asks_for_another(ledger: Ledger) -> None:
    """Once revision 1 has begun, what it read may be old: revision 2 is asked for."""
    planned(ledger, row(1))
    ledger.complete(DOC, [outcome(1, state="QUARANTINED")])
    assert ledger.begin_assembly(DOC, 1) is not None
    assert ledger.complete(DOC, [outcome(1)]).revision == 2


def test_an_upgrade_before_the_assembly_needs_no_other(ledger: Ledger) -> None:
    """While revision 1 has not begun it will see the better page by itself."""
    planned(ledger, row(1), row(2))
    ledger.complete(DOC, [outcome(1, state="QUARANTINED")])
    assert ledger.complete(DOC, [outcome(1)]).revision == 1
    check(ledger)


def test_completing_an_unknown_row_changes_nothing(ledger: Ledger) -> None:
    """An outcome for a row that is not there is stale."""
    before = planned(ledger, row(1))
    assert ledger.complete(DOC, [outcome(7)]) == before


def test_failures_are_counted_while_pages_wait(ledger: Ledger) -> None:
    """One more each time, with the last sentence kept; not for another generation, not once the page is done."""
    planned(ledger, row(1))
    assert [ledger.count_failure(DOC, 1, 1, 1, f"failure {n}") for n in (1, 2)] == [1, 2]
    assert ledger.count_failure(DOC, 1, 1, 2, "other generation") == 0
    kept = ledger.pages_row(DOC, 1, 1)
    assert kept is not None
    assert (kept.attempts, kept.failure) == (2, "failure 2")
    ledger.complete(DOC, [outcome(1)])
    assert ledger.count_failure(DOC, 1, 1, 1, "late") == 0
    assert ledger.count_failure(DOC, 9, 9, 1, "unknown") == 0


def test_unpacking_gives_each_page_its_own_row(ledger: Ledger) -> None:
    """A packed row becomes single rows, untried; asking again gives those that stand there; replaying the plan brings nothing back."""
    planned(ledger, row(1), row(2, 5))
    ledger.count_failure(DOC, 2, 5, 1, "died")
    singles = ledger.unpack(DOC, 2, 5)
    assert [(r.first, r.last, r.attempts, r.state) for r in singles] == [(n, n, 0, "WAITING") for n in (2, 3, 4, 5)]
    ledger.complete(DOC, [outcome(3)])
    assert [r.state for r in ledger.unpack(DOC, 2, 5)] == ["WAITING", "DONE", "WAITING", "WAITING"]
    ledger.add_pages(DOC, [row(2, 5)])
    assert ledger.pages_row(DOC, 2, 5) is None
    check(ledger)


def test_a_finished_row_is_not_unpacked(ledger: Ledger) -> None:
    """Pages that are done stay in their packet."""
    planned(ledger, row(1, 4))
    ledger.complete(DOC, [outcome(1, 4)])
    assert ledger.unpack(DOC, 1, 4) == []
    check(ledger)


def test_rejection_ends_only_what_was_not_delivered(ledger: Ledger) -> None:
    """A document is rejected once; a delivered one never."""
    ledger.accept(job(), new_document())
    ledger.note_failure(DOC, "it hung")
    assert ledger.document(DOC).failure == "it hung"
    rejected = ledger.reject(DOC, "corrupt", "broken")
    assert (rejected.state, rejected.code, rejected.reason) == ("REJECTED", "corrupt", "broken")
    assert ledger.reject(DOC, "encrypted", "later") == rejected
    assert ledger.begin_assembly(DOC, 1) is None


def test_a_delivered_document_is_not_rejected(ledger: Ledger) -> None:
    """DONE stays DONE."""
    planned(ledger, row(1))
    ledger.complete(DOC, [outcome(1)])
    ledger.begin_assembly(DOC, 1)
    ledger.publish(DOC, 1, "DONE")
    assert ledger.reject(DOC, "failed", "no").state == "DONE"


def test_assembly_waits_for_every_page(ledger: Ledger) -> None:
    """Nothing is assembled while a page waits."""
    planned(ledger, row(1), row(2))
    ledger.complete(DOC, [outcome(1)])
    assert ledger.begin_assembly(DOC, 1) is None
    ledger.complete(DOC, [outcome(2)])
    begun = ledger.begin_assembly(DOC, 1)
    assert begun is not None
    assert (begun.state, begun.started) == ("ASSEMBLING", 1)


def test_a_late_old_assembly_cannot_replace_a_newer_one(ledger: Ledger) -> None:
    """`current` only moves forward; a revision that stands is not begun again."""
    planned(ledger, row(1))
    ledger.complete(DOC, [outcome(1)])
    ledger.begin_assembly(DOC, 1)
    ledger.begin_assembly(DOC, 2)
    newer = ledger.publish(DOC, 2, "DONE")
    assert newer is not None
    assert (newer.current, newer.state, newer.output_prefix) == (2, "DONE", f"documents/acme/{DOC}/r2/")
    assert ledger.publish(DOC, 1, "PARTIAL") is None
    assert ledger.begin_assembly(DOC, 1) is None
    assert ledger.document(DOC) == newer


def test_dead_letters_are_kept_once(ledger: Ledger) -> None:
    """The same dead message recorded twice stands there once."""
    letter = DeadLetter(message_id="m1", queue="pages-dlq", reason="not an envelope", body="?")
    ledger.record_dead_letter(letter)
    ledger.record_dead_letter(letter)
    assert list(ledger.dead_letters()) == [letter]


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


def test_a_race_that_is_never_won_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    """When every try conflicts, the message fails and is tried again later."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))
        _inject_conflicts(ledger, monkeypatch, every=1)
        with pytest.raises(Conflict):
            ledger.complete(DOC, [outcome(1)])


def test_an_invalid_write_is_not_mistaken_for_a_race() -> None:
    """Any other refusal of a transaction comes through as it is."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))
        ledger._table.name = "missing"
        with pytest.raises(ClientError):
            ledger.document(DOC)


@pytest.mark.parametrize(
    ("rows", "counts", "sentence"),
    [
        ([row(1), row(3)], {"waiting": 3}, "pages 2 to 2 have no row"),
        ([row(1), row(1, 2)], {"waiting": 3}, "more than one"),
        ([row(1)], {"waiting": 3}, "rows end at page 1 of 3"),
        ([row(1, 3)], {"waiting": 2, "done": 1}, "the document counts"),
    ],
)
def test_every_breach_of_conservation_is_named(rows: list[PagesRow], counts: dict[str, int], sentence: str) -> None:
    """A lost page, a doubled page, a short plan and a wrong counter are each found."""
    document = DocumentRow(
        **{**{f: getattr(new_document(), f) for f in new_document().__struct_fields__}, "state": "READING", "total": 3, **counts}
    )
    assert sentence in conservation_violation(document, rows)


def test_a_cancelled_transaction_leaves_nothing_behind() -> None:
    """The embedded DynamoDB rolls back what a cancelled transaction had already written."""
    with repaired_moto(), mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))
        client = ledger._table.client
        good = {"Put": {"TableName": "ledger", "Item": {"pk": {"S": "x"}, "sk": {"S": "x"}}}}
        bad = {
            "Put": {
                "TableName": "ledger",
                "Item": {"pk": {"S": f"DOC#{DOC}"}, "sk": {"S": "DOC"}},
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }
        with pytest.raises(ClientError, match="Transaction"):
            client.transact_write_items(TransactItems=[good, bad])  # type: ignore[list-item]
        assert "Item" not in client.get_item(TableName="ledger", Key={"pk": {"S": "x"}, "sk": {"S": "x"}})
        check(ledger)


def test_a_packet_taken_apart_can_be_neither_completed_nor_failed_whole(ledger: Ledger) -> None:
    """What comes late for the packet advances nothing; its single pages wait."""
    planned(ledger, row(1, 3))
    ledger.unpack(DOC, 1, 3)
    assert ledger.count_failure(DOC, 1, 3, 1, "late") == 0
    assert ledger.complete(DOC, [outcome(1, 3)]).waiting == 3
    check(ledger)


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


def test_an_answer_lost_on_its_way_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write was applied, the answer said that its condition failed (an SDK's own retry): the assembly is still ours."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))
        ledger.complete(DOC, [outcome(1)])
        client = ledger._table.client
        real, left = client.update_item, [1]

        def lost(**request: Any) -> Any:
            answer = real(**request)
            if left[0]:
                left[0] -= 1
                raise ClientError({"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}}, "UpdateItem")
            return answer

        monkeypatch.setattr(client, "update_item", lost)
        assert ledger.begin_assembly(DOC, 1) is not None
        left[0] = 1
        published = ledger.publish(DOC, 1, "DONE")
        assert published is not None
        assert (published.current, published.state) == (1, "DONE")


def test_throttling_is_said_in_our_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Throttled`, which is retryable, on reads and writes."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))

        def slow_down(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}, "x")

        monkeypatch.setattr(ledger._table.client, "update_item", slow_down)
        with pytest.raises(Throttled):
            ledger.reading(DOC)
        monkeypatch.setattr(ledger._table.client, "get_item", slow_down)
        with pytest.raises(Throttled):
            ledger.document(DOC)


def test_a_document_opened_again_counts_what_is_done_and_forgets_its_failure(ledger: Ledger) -> None:
    """Conservation holds from its plan on, and an assembly of the time before publishes nothing over it."""
    planned(ledger, row(1), row(2))
    ledger.complete(DOC, [outcome(1)])
    ledger.note_failure(DOC, "hung")
    ledger.reject(DOC, "failed", "because")
    assert ledger.accept(job(2), new_document()).failure == ""
    assert ledger.publish(DOC, 1, "DONE") is None
    ledger.add_pages(DOC, [row(1), row(2)])
    again = ledger.planned(DOC, 2, "application/pdf")
    assert (again.waiting, again.done) == (1, 1)
    check(ledger)


def test_success_wipes_out_a_rejection_that_came_between(ledger: Ledger) -> None:
    """A dead duplicate rejects the document while it is assembled: the assembly still delivers, and no reason is left."""
    planned(ledger, row(1))
    ledger.complete(DOC, [outcome(1)])
    ledger.begin_assembly(DOC, 1)
    ledger.reject(DOC, "failed", "dead duplicate")
    published = ledger.publish(DOC, 1, "DONE")
    assert published is not None
    assert (published.state, published.code, published.reason) == ("DONE", "", "")


@pytest.mark.parametrize("call", ["reject", "note_failure", "publish"])
def test_nothing_is_written_for_a_document_that_is_not_there(ledger: Ledger, call: str) -> None:
    """`NotFound`, and no stray row."""
    arguments = {"reject": ("failed", "x"), "note_failure": ("x",), "publish": (1, "DONE")}[call]
    with pytest.raises(NotFound):
        getattr(ledger, call)("nobody", *arguments)
    assert list(ledger.documents()) == []
