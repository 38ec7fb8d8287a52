"""Quarantined pages that wait again, on both ledgers: the counters conserve whatever they meet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from escriba.aws.ledger import DynamoLedger
from escriba.errors import Conflict
from tests.contract.ledgers import DOC, Books, check, outcome, planned, row
from tests.contract.test_ledger_races import _inject_conflicts, just_before


def test_a_quarantined_row_waits_again(books: Books) -> None:
    """Untried, in its next generation; a delivered document is read again, towards a new revision, and its counters add up."""
    planned(books.ledger, row(1), row(2))
    books.ledger.count_failure(DOC, 2, 2, 1, "timed out")
    books.recovery.resend(DOC, books.page(2))
    books.ledger.complete(
        DOC, [outcome(1), outcome(2, state="QUARANTINED", generation=2, code="corrupt", reason="timed out", result_key="")]
    )
    books.ledger.begin_assembly(DOC, 1)
    delivered = books.ledger.publish(DOC, 1, "PARTIAL")
    before = books.page(2)
    assert before.code == "corrupt"
    books.clock.sleep(60)
    now = books.clock.now().timestamp()
    again = books.recovery.redrive(DOC, before)
    changes = {
        "state": "WAITING",
        "generation": 3,
        "attempts": 0,
        "resends": 0,
        "redrives": 1,
        "code": "",
        "reason": "",
        "failure": "",
        "sent_at": now,
    }
    assert again == books.page(2) == replace(before, **changes)
    assert delivered is not None
    assert books.document() == replace(delivered, state="READING", waiting=1, quarantined=0, revision=2, moved_at=now, sent_at=now)
    check(books.ledger)


def test_a_redriven_document_is_delivered_anew(books: Books) -> None:
    """The page read, the second revision is assembled and is DONE; the first stays current until then."""
    books.ended("DONE", "QUARANTINED")
    books.recovery.redrive(DOC, books.page(2))
    assert books.document().current == 1
    assert books.ledger.begin_assembly(DOC, 2) is None
    books.ledger.complete(DOC, [outcome(2, generation=2)])
    check(books.ledger)
    assert books.document().revision == 2
    assert books.ledger.begin_assembly(DOC, 2) is not None
    published = books.ledger.publish(DOC, 2, "DONE")
    assert published is not None
    assert (published.state, published.current, published.done) == ("DONE", 2, 2)
    assert books.recovery.leave(published)


def test_a_document_is_read_under_a_mended_policy_from_then_on(books: Books) -> None:
    """One that was delivered in part, and as it was seen; nothing else of it changes, nor of any other document."""
    delivered = books.ended("DONE", "QUARANTINED")
    adopted = books.recovery.adopt(delivered, "mended")
    assert adopted == books.document() == replace(delivered, policy="mended")
    assert books.recovery.adopt(delivered, "another") is None
    books.recovery.redrive(DOC, books.page(2))
    assert books.recovery.adopt(books.document(), "another") is None
    assert books.document().policy == "mended"


def test_two_pages_redriven_ask_for_one_revision(books: Books) -> None:
    """The second finds it asked for already."""
    books.ended("QUARANTINED", "QUARANTINED")
    for number in (1, 2):
        assert books.recovery.redrive(DOC, books.page(number)) is not None
    assert (books.document().revision, books.document().waiting, books.document().quarantined) == (2, 2, 0)
    check(books.ledger)


def test_before_its_assembly_a_document_needs_no_new_revision(books: Books) -> None:
    """The first is still to come, and will have the page."""
    planned(books.ledger, row(1))
    books.ledger.complete(DOC, [outcome(1, state="QUARANTINED")])
    assert books.recovery.redrive(DOC, books.page()) is not None
    assert (books.document().revision, books.document().waiting) == (1, 1)
    check(books.ledger)


def test_an_assembly_at_work_is_overtaken(books: Books) -> None:
    """It may not publish what a redrive has put in doubt."""
    planned(books.ledger, row(1))
    books.ledger.complete(DOC, [outcome(1, state="QUARANTINED")])
    books.ledger.begin_assembly(DOC, 1)
    books.recovery.redrive(DOC, books.page())
    assert books.ledger.publish(DOC, 1, "PARTIAL") is None
    assert books.document().revision == 2


def test_a_stale_generation_is_not_redriven(books: Books) -> None:
    """It was redriven and failed again since it was looked at."""
    books.ended("QUARANTINED")
    before = books.page()
    books.recovery.redrive(DOC, before)
    books.ledger.complete(DOC, [outcome(1, state="QUARANTINED", generation=2)])
    assert books.recovery.redrive(DOC, before) is None
    assert books.recovery.redrive(DOC, books.page()).redrives == 2  # type: ignore[union-attr]
    check(books.ledger)


@pytest.mark.parametrize("state", ["WAITING", "DONE", "DEGRADED"])
def test_only_what_failed_is_redriven(books: Books, state: str) -> None:
    """A page that waits is on its way, one that was read is there."""
    planned(books.ledger, row(1))
    if state != "WAITING":
        books.ledger.complete(DOC, [outcome(1, state=state)])
    assert books.recovery.redrive(DOC, books.page()) is None
    check(books.ledger)


@pytest.mark.parametrize("state", ["REJECTED", "RECEIVED", "PLANNED"])
def test_no_page_is_redriven_of_a_document_that_has_to_be_planned_first(books: Books, state: str) -> None:
    """Its planning would be passed over; once it is read, the page may be sent again."""
    planned(books.ledger, row(1), row(2))
    books.ledger.complete(DOC, [outcome(1, state="QUARANTINED")])
    rejected = books.ledger.reject(DOC, "failed", "because")
    if state != "REJECTED":
        books.recovery.reopen(rejected)
    if state == "PLANNED":
        books.ledger.planned(DOC, 2, "application/pdf")
    before = books.document()
    assert books.recovery.redrive(DOC, books.page()) is None
    assert books.document() == before
    if state == "PLANNED":
        books.ledger.reading(DOC)
        assert books.recovery.redrive(DOC, books.page()) is not None
        check(books.ledger)


@pytest.mark.parametrize("pages", [(1, 1), (1, 2)])
def test_two_redrives_at_once(on_dynamo: Books, monkeypatch: pytest.MonkeyPatch, pages: tuple[int, int]) -> None:
    """One lands while the other is about to write: of the same page only one is sent, of two pages both, and nothing is counted twice."""
    on_dynamo.ended("QUARANTINED", "QUARANTINED")
    mine, theirs = (on_dynamo.page(number) for number in pages)
    seen = []
    just_before(_dynamo(on_dynamo), "transact_write_items", lambda: seen.append(on_dynamo.recovery.redrive(DOC, theirs)), monkeypatch)
    seen.append(on_dynamo.recovery.redrive(DOC, mine))
    assert [answer is not None for answer in seen] == [True, pages[0] != pages[1]]
    assert (on_dynamo.document().waiting, on_dynamo.document().revision) == (len(set(pages)), 2)
    check(on_dynamo.ledger)


@pytest.mark.parametrize("move", ["a late success", "the beginning of an assembly"])
def test_a_redrive_that_meets_another_move(on_dynamo: Books, monkeypatch: pytest.MonkeyPatch, move: str) -> None:
    """A page that was read after all is not redriven; an assembly that has just begun asks for another revision."""
    planned(on_dynamo.ledger, row(1))
    on_dynamo.ledger.complete(DOC, [outcome(1, state="QUARANTINED")])
    moves: dict[str, Callable[[], object]] = {
        "a late success": lambda: on_dynamo.ledger.complete(DOC, [outcome(1)]),
        "the beginning of an assembly": lambda: on_dynamo.ledger.begin_assembly(DOC, 1),
    }
    just_before(_dynamo(on_dynamo), "transact_write_items", moves[move], monkeypatch)
    again = on_dynamo.recovery.redrive(DOC, on_dynamo.page())
    assert (again is None) == (move == "a late success")
    assert on_dynamo.document().revision == (1 if again is None else 2)
    check(on_dynamo.ledger)


def test_a_redrive_gets_over_conflicts_but_not_for_ever(on_dynamo: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB cancels a transaction that meets another; moto never does."""
    on_dynamo.ended("QUARANTINED", "QUARANTINED")
    with monkeypatch.context() as patch:
        conflicts = _inject_conflicts(_dynamo(on_dynamo), patch, every=2)
        assert all(on_dynamo.recovery.redrive(DOC, on_dynamo.page(number)) is not None for number in (1, 2))
        assert conflicts
    books = on_dynamo.document()
    assert (books.waiting, books.quarantined) == (2, 0)
    on_dynamo.ledger.complete(DOC, [outcome(1, state="QUARANTINED", generation=2)])
    _inject_conflicts(_dynamo(on_dynamo), monkeypatch, every=1)
    with pytest.raises(Conflict):
        on_dynamo.recovery.redrive(DOC, on_dynamo.page(1))


def test_a_redrive_that_is_refused_for_another_reason_says_so(on_dynamo: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing permission is no race."""
    on_dynamo.ended("QUARANTINED")

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "TransactWriteItems")

    monkeypatch.setattr(_dynamo(on_dynamo)._table.client, "transact_write_items", refuse)
    with pytest.raises(ClientError):
        on_dynamo.recovery.redrive(DOC, on_dynamo.page())


def _dynamo(books: Books) -> DynamoLedger:
    assert isinstance(books.ledger, DynamoLedger)
    return books.ledger
