"""A page that waits for a better reading: both ledgers keep what was read of it, let it wait elsewhere, and refuse what is stale."""

from __future__ import annotations

from escriba.moves import given_up
from tests.contract.ledgers import DOC, Books, check, outcome, planned, row

READING = outcome(1, state="DEGRADED", engine="rapidocr", confidence=0.4, seconds=3.0, reason="low confidence (0.40)", result_key="cpu")


def test_an_escalated_page_waits_with_its_reading(books: Books) -> None:
    """Still WAITING and counted so, in the other queue, untried there, with everything that was read."""
    planned(books.ledger, row(1), row(2))
    books.ledger.count_failure(DOC, 1, 1, 1, "once")
    books.clock.sleep(5)
    moved = books.ledger.escalate(DOC, books.page(), READING, "vision-api")
    assert moved is not None
    assert moved == books.page()
    assert (moved.state, moved.queue, moved.result_key, moved.engine, moved.attempts, moved.failure) == (
        "WAITING",
        "vision-api",
        "cpu",
        "rapidocr",
        0,
        "",
    )
    assert moved.escalated_at == moved.sent_at == books.clock.now().timestamp()
    assert books.document().escalated_at == moved.escalated_at
    assert books.document().waiting == 2
    assert books.page(2).queue == "pages"
    check(books.ledger)


def test_a_page_is_escalated_once_and_only_while_it_waits(books: Books) -> None:
    """A late duplicate of the reader changes nothing."""
    planned(books.ledger, row(1))
    before = books.page()
    assert books.ledger.escalate(DOC, before, READING, "vision-api") is not None
    held = books.page()
    assert books.ledger.escalate(DOC, before, outcome(1, result_key="other"), "vision-api") is None
    assert books.page() == held
    books.ledger.complete(DOC, [outcome(1)])
    assert books.ledger.escalate(DOC, books.page(), READING, "vision-api") is None
    assert books.page().state == "DONE"
    check(books.ledger)


def test_a_page_that_nobody_reads_better_ends_with_what_it_has(books: Books) -> None:
    """DEGRADED with the reading that it keeps; a better one that comes later still makes it DONE, in a new revision."""
    planned(books.ledger, row(1))
    books.ledger.escalate(DOC, books.page(), READING, "vision-api")
    after = books.ledger.complete(DOC, [given_up(books.page(), "nobody")])
    assert (after.waiting, after.degraded) == (0, 1)
    assert (books.page().reason, books.page().result_key) == ("nobody", "cpu")
    assert books.ledger.begin_assembly(DOC, 1) is not None
    assert books.ledger.publish(DOC, 1, "DONE") is not None
    after = books.ledger.complete(DOC, [outcome(1, result_key="better")])
    assert (after.done, after.degraded, after.revision) == (1, 0, 2)
    check(books.ledger)


def test_a_page_that_was_read_well_enough_ends_as_it_was_read(books: Books) -> None:
    """It only waited for something that it can do without: DONE, and no reason stands against it."""
    planned(books.ledger, row(1))
    books.ledger.escalate(DOC, books.page(), outcome(1, engine="rapidocr", result_key="cpu"), "vision-api")
    after = books.ledger.complete(DOC, [given_up(books.page(), "nobody")])
    assert (after.waiting, after.done, after.degraded) == (0, 1, 0)
    assert (books.page().reason, books.page().result_key) == ("", "cpu")
    check(books.ledger)


def test_a_page_that_nothing_was_read_of_is_quarantined(books: Books) -> None:
    """There is no reading to fall back on."""
    planned(books.ledger, row(1))
    assert given_up(books.page(), "nobody").state == "QUARANTINED"


def test_a_lost_message_of_an_escalated_page_goes_to_its_queue_again(books: Books) -> None:
    """In a new generation, the reading kept."""
    planned(books.ledger, row(1))
    moved = books.ledger.escalate(DOC, books.page(), READING, "vision-api")
    assert moved is not None
    again = books.recovery.resend(DOC, moved)
    assert again is not None
    assert (again.queue, again.result_key, again.generation, again.escalated_at) == ("vision-api", "cpu", 2, moved.escalated_at)
