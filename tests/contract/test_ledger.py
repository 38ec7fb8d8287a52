"""The port Ledger in memory and on DynamoDB: documents, their pages and failures, and the law that no page is lost."""

from __future__ import annotations

import msgspec
import pytest

from escriba.conservation import conservation_violation
from escriba.errors import NotFound
from escriba.ledger import DeadLetter, DocumentRow, JobRow, Ledger, PagesRow
from tests.contract.ledgers import DOC, FastClock, check, job, new_document, outcome, planned, row


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


def test_dead_letters_are_kept_once(ledger: Ledger) -> None:
    """The same dead message recorded twice stands there once."""
    letter = DeadLetter(message_id="m1", queue="pages-dlq", reason="not an envelope", body="?")
    ledger.record_dead_letter(letter)
    ledger.record_dead_letter(letter)
    assert list(ledger.dead_letters()) == [letter]


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


def test_a_packet_taken_apart_can_be_neither_completed_nor_failed_whole(ledger: Ledger) -> None:
    """What comes late for the packet advances nothing; its single pages wait."""
    planned(ledger, row(1, 3))
    ledger.unpack(DOC, 1, 3)
    assert ledger.count_failure(DOC, 1, 3, 1, "late") == 0
    assert ledger.complete(DOC, [outcome(1, 3)]).waiting == 3
    check(ledger)


@pytest.mark.parametrize("call", ["reject", "note_failure", "publish"])
def test_nothing_is_written_for_a_document_that_is_not_there(ledger: Ledger, call: str) -> None:
    """`NotFound`, and no stray row."""
    arguments = {"reject": ("failed", "x"), "note_failure": ("x",), "publish": (1, "DONE")}[call]
    with pytest.raises(NotFound):
        getattr(ledger, call)("nobody", *arguments)
    assert list(ledger.documents()) == []
