"""What the reconciler asks of the ledger, on both of them: which documents are looked at, and moves that send again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from escriba.errors import NotFound
from escriba.ledger import FORGOTTEN, DocumentRow, JobRow
from escriba.stages.recognise import recognise
from escriba.stages.split import request
from tests.contract.ledgers import DOC, Books, check, job, new_document, outcome, planned, row
from tests.faults.harness import laid_down, pipeline, reader_of

ELSEWHERE = JobRow(job_id="jobx", tenant="acme", key="inbox/acme/default/x.pdf", code=FORGOTTEN, resends=1, sent_at=7.0)


def _another(name: str) -> DocumentRow:
    return replace(new_document(), document_id=name * 32)


def test_documents_under_way_come_oldest_first(books: Books) -> None:
    """In the order in which they were received, whatever moved last; nothing has failed yet."""
    for name in "cab":
        books.ledger.accept(job(), _another(name))
        books.clock.sleep(1)
    books.ledger.add_pages("c" * 32, [row(1)])
    assert [document.document_id[0] for document in books.recovery.in_flight()] == ["c", "a", "b"]
    assert books.failed() == []


@pytest.mark.parametrize("step", range(5))
def test_a_document_is_looked_at_until_it_has_left(books: Books, step: int) -> None:
    """RECEIVED, PLANNED, READING, ASSEMBLING and delivered: there as the ledger has it, and only the last one may leave."""
    steps: list[Callable[[], object]] = [
        lambda: (books.ledger.accept(job(), new_document()), books.ledger.add_pages(DOC, [row(1)])),
        lambda: books.ledger.planned(DOC, 1, "application/pdf"),
        lambda: books.ledger.reading(DOC),
        lambda: (books.ledger.complete(DOC, [outcome(1)]), books.ledger.begin_assembly(DOC, 1)),
        lambda: books.ledger.publish(DOC, 1, "DONE"),
    ]
    for act in steps[: step + 1]:
        act()
    assert books.under_way() == [books.document()]
    assert books.recovery.leave(books.document()) == (step == 4)
    assert books.under_way() == ([] if step == 4 else [books.document()])


@pytest.mark.parametrize(("states", "fails"), [(("DONE", "DEGRADED"), False), (("DONE", "QUARANTINED"), True)])
def test_a_delivered_document_leaves(books: Books, states: tuple[str, ...], fails: bool) -> None:
    """DONE to nowhere, PARTIAL to the failed; doing so again changes nothing."""
    document = books.ended(*states)
    assert books.recovery.leave(document)
    assert books.under_way() == []
    assert books.failed() == ([document] if fails else [])


def test_rejected_documents_leave_to_the_failed_oldest_first(books: Books) -> None:
    """The one received first stands first, though it was rejected last."""
    for name in "ba":
        books.ledger.accept(job(), _another(name))
        books.clock.sleep(1)
    for name in "ab":
        assert books.recovery.leave(books.ledger.reject(name * 32, "failed", "because"))
    assert [document.document_id[0] for document in books.failed()] == ["b", "a"]
    assert books.under_way() == []


def test_a_document_that_moved_meanwhile_does_not_leave(books: Books) -> None:
    """A late page asked for another revision since it was read; and the next end is another end, even in the same state."""
    document = books.ended("QUARANTINED", "QUARANTINED", leave=False)
    books.ledger.complete(DOC, [outcome(1)])
    assert not books.recovery.leave(document)
    books.ledger.begin_assembly(DOC, 2)
    books.ledger.publish(DOC, 2, "PARTIAL")
    assert not books.recovery.leave(document)
    assert books.under_way() == [books.document()]
    assert books.recovery.leave(books.document())


def test_a_document_opened_again_meanwhile_does_not_leave(books: Books) -> None:
    """Its rejection is no longer the last word."""
    document = books.rejected(leave=False)
    books.ledger.accept(job(2), new_document())
    assert not books.recovery.leave(document)
    books.ledger.reject(DOC, "failed", "because")
    assert not books.recovery.leave(document)  # the older generation's
    assert books.recovery.leave(books.document())


def test_a_late_improvement_brings_a_document_back(books: Books) -> None:
    """It asked for a new revision, which somebody has to see to."""
    books.ended("DONE", "QUARANTINED")
    books.ledger.complete(DOC, [outcome(2)])
    assert [document.revision for document in books.under_way()] == [2]
    assert books.failed() == []


def test_a_redrive_brings_a_document_back(books: Books) -> None:
    """Its page waits again."""
    books.ended("DONE", "QUARANTINED")
    assert books.recovery.redrive(DOC, books.page(2)) is not None
    assert [document.state for document in books.under_way()] == ["READING"]
    assert books.failed() == []


def test_another_upload_of_a_document_that_its_surroundings_failed_brings_it_back(books: Books) -> None:
    """It is opened again, in its next generation."""
    books.rejected()
    books.ledger.accept(job(2), new_document())
    assert [(document.state, document.generation) for document in books.under_way()] == [("RECEIVED", 2)]
    assert books.failed() == []


@pytest.mark.parametrize("end", ["DONE", "corrupt"])
def test_another_upload_of_a_document_that_has_ended_for_good_does_not(books: Books, end: str) -> None:
    """There is nothing more to come of it."""
    document = books.ended("DONE") if end == "DONE" else books.rejected(end)
    assert books.ledger.accept(job(2), new_document()) == document
    assert books.under_way() == []
    assert books.failed() == ([] if end == "DONE" else [document])


def test_a_rejected_document_that_is_delivered_after_all_is_looked_at_again(books: Books) -> None:
    """A slow assembly outlived its own dead letter: it has not failed."""
    planned(books.ledger, row(1))
    books.ledger.complete(DOC, [outcome(1)])
    books.ledger.begin_assembly(DOC, 1)
    assert books.recovery.leave(books.ledger.reject(DOC, "failed", "could not be assembled"))
    published = books.ledger.publish(DOC, 1, "DONE")
    assert books.failed() == []
    assert books.under_way() == [published]


def test_a_prod_is_counted(books: Books) -> None:
    """Once a look: it moves the document, and what was read before is stale."""
    before = books.ledger.accept(job(), new_document())
    books.clock.sleep(60)
    prodded = books.recovery.prod(before)
    assert prodded == replace(before, prods=1, moved_at=books.clock.now().timestamp())
    assert books.document() == prodded
    assert books.recovery.prod(before) is None
    assert books.recovery.prod(prodded).prods == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("move", ["rejected", "laid down", "completed"])
def test_a_document_that_moved_meanwhile_is_not_prodded(books: Books, move: str) -> None:
    """Its message was not lost."""
    before = books.ledger.accept(job(), new_document()) if move != "completed" else planned(books.ledger, row(1))
    books.clock.sleep(60)
    moves: dict[str, Callable[[], object]] = {
        "rejected": lambda: books.ledger.reject(DOC, "failed", "because"),
        "laid down": lambda: books.ledger.add_pages(DOC, [row(1)]),
        "completed": lambda: books.ledger.complete(DOC, [outcome(1)]),
    }
    moves[move]()
    assert books.recovery.prod(before) is None
    assert books.document().prods == 0


def test_a_failure_noted_or_a_plan_replayed_is_no_move(books: Books) -> None:
    """Neither shows that the document's message arrived to an end."""
    books.ledger.accept(job(), new_document())
    books.ledger.add_pages(DOC, [row(1)])
    before = books.document()
    books.clock.sleep(60)
    books.ledger.note_failure(DOC, "the bucket did not answer")
    books.ledger.add_pages(DOC, [row(1)])
    assert books.recovery.prod(before) == replace(books.document(), prods=1)


def test_a_waiting_row_is_sent_again_in_its_next_generation(books: Books) -> None:
    """Once a generation; attempts and the document's counters stay."""
    planned(books.ledger, row(1))
    books.ledger.count_failure(DOC, 1, 1, 1, "timed out")
    before = books.page()
    books.clock.sleep(60)
    again = books.recovery.resend(DOC, before)
    assert again == replace(before, generation=2, resends=1, sent_at=books.clock.now().timestamp())
    assert books.page() == again
    assert books.recovery.resend(DOC, before) is None
    check(books.ledger)


@pytest.mark.parametrize("move", ["done", "taken apart", "unknown"])
def test_a_row_that_no_longer_waits_is_not_sent_again(books: Books, move: str) -> None:
    """Read, taken apart or forgotten since it was looked at."""
    planned(books.ledger, row(1, 3))
    before = books.page(1, 3)
    moves: dict[str, Callable[[], object]] = {
        "done": lambda: books.ledger.complete(DOC, [outcome(1, 3)]),
        "taken apart": lambda: books.ledger.unpack(DOC, 1, 3),
        "unknown": lambda: books.recovery.forget(books.document()),
    }
    moves[move]()
    assert books.recovery.resend(DOC, before) is None


def test_of_an_older_generation_only_a_success_counts(books: Books) -> None:
    """The pages are the same bytes whoever read them; a failure speaks for its own message."""
    planned(books.ledger, row(1))
    books.recovery.resend(DOC, books.page())
    assert books.ledger.count_failure(DOC, 1, 1, 1, "timed out") == 0
    assert books.ledger.complete(DOC, [outcome(1, state="QUARANTINED")]).waiting == 1
    assert books.ledger.complete(DOC, [outcome(1)]).done == 1
    check(books.ledger)


def test_a_message_of_an_older_generation_is_dropped() -> None:
    """Another message asks for the same reading."""
    with pipeline() as made:
        document, [old] = laid_down(made, "o")
        [waiting] = made.ports.ledger.pages(document.document_id)
        again = made.ports.recovery.resend(document.document_id, waiting)
        recognise(old, 1, made._worker_ports())
        assert reader_of(made).reads.total() == 0
        assert again is not None
        recognise(request(document, again, made.ports), 1, made._worker_ports())
        assert reader_of(made).reads.total() == 1
        assert made.ports.ledger.document(document.document_id).done == 1


def test_an_upload_without_a_document_is_noted(books: Books) -> None:
    """And noted again, until it is taken in."""
    assert books.recovery.note_upload(ELSEWHERE)
    again = replace(ELSEWHERE, resends=2, sent_at=9.0)
    assert books.recovery.note_upload(again)
    assert books.ledger.job("jobx") == again
    taken_in = replace(job(), job_id="jobx")
    books.ledger.accept(taken_in, new_document())
    assert not books.recovery.note_upload(again)
    assert books.ledger.job("jobx") == taken_in


def test_a_forgotten_upload_may_be_rejected_and_stays_so(books: Books) -> None:
    """What is known of it now is more than that it was forgotten; a later upload's acceptance is more still."""
    rejected = JobRow(job_id="jobx", tenant="acme", key=ELSEWHERE.key, code="corrupt", reason="because")
    books.recovery.note_upload(ELSEWHERE)
    books.ledger.reject_job(rejected)
    assert not books.recovery.note_upload(ELSEWHERE)
    assert books.ledger.job("jobx") == rejected


def test_a_document_opened_by_hand_is_received_again(books: Books) -> None:
    """In its next generation, nothing said of the one before; once."""
    before = books.rejected()
    opened = books.recovery.reopen(before)
    now = books.clock.now().timestamp()
    assert opened == replace(before, state="RECEIVED", generation=2, code="", reason="", moved_at=now, sent_at=now)
    assert books.under_way() == [opened]
    assert books.failed() == []
    assert books.recovery.reopen(before) is None
    books.ledger.reject(DOC, "failed", "again")
    assert books.recovery.reopen(before) is None


def test_only_a_rejected_document_is_opened(books: Books) -> None:
    """One that was delivered in part is redriven page by page."""
    assert books.recovery.reopen(books.ended("QUARANTINED")) is None


def test_what_is_forgotten_leaves_nothing(books: Books) -> None:
    """The document, its pages and its upload; others stay, and every move of it finds nothing."""
    document, page = books.ended("QUARANTINED", leave=False), books.page()
    other = books.ledger.accept(job(2, "e" * 32), replace(_another("e"), job_id="job2"))
    books.recovery.forget(document)
    with pytest.raises(NotFound):
        books.ledger.document(DOC)
    assert books.ledger.job("job1") is None
    assert list(books.ledger.pages(DOC)) == []
    assert books.under_way() == [other]
    assert not books.recovery.leave(document)
    assert (books.recovery.prod(document), books.recovery.reopen(document), books.recovery.redrive(DOC, page)) == (None, None, None)
    books.recovery.forget(document)


def test_what_has_left_is_forgotten_too(books: Books) -> None:
    """It is no longer among the failed."""
    books.recovery.forget(books.ended("QUARANTINED"))
    assert books.failed() == []
