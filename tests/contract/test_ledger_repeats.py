"""Moves of the ledger made again, late, or in the wrong state: both ledgers stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from escriba.errors import NotFound
from escriba.ledger import Ledger, PagesRow
from tests.contract.ledgers import DOC, check, job, new_document, outcome, planned, row


@pytest.mark.parametrize("state", ["DONE", "DEGRADED", "QUARANTINED"])
def test_the_same_outcome_again_changes_nothing(ledger: Ledger, state: str) -> None:
    """The first result stands, and no new revision is asked for."""
    planned(ledger, row(1))
    ledger.complete(DOC, [outcome(1, state=state)])
    before = ledger.begin_assembly(DOC, 1)
    assert ledger.complete(DOC, [outcome(1, state=state, result_key="another")]) == before
    assert [r.result_key for r in ledger.pages(DOC)] == ["r1"]


def test_nothing_is_assembled_before_it_is_planned(ledger: Ledger) -> None:
    """A document that was only received has no page that waits, and none at all."""
    ledger.accept(job(), new_document())
    assert ledger.begin_assembly(DOC, 1) is None


def test_the_newest_assembly_begun_is_remembered(ledger: Ledger) -> None:
    """A late beginning of revision 1 does not make the ledger forget that 2 was begun."""
    planned(ledger, row(1))
    ledger.complete(DOC, [outcome(1)])
    for revision in (2, 1):
        begun = ledger.begin_assembly(DOC, revision)
        assert begun is not None
        assert begun.started == 2


def test_a_plan_is_made_once(ledger: Ledger) -> None:
    """PLANNED again with another total: the first stands."""
    ledger.accept(job(), new_document())
    ledger.add_pages(DOC, [row(1)])
    first = ledger.planned(DOC, 1, "application/pdf")
    assert ledger.planned(DOC, 9, "image/png") == first


@pytest.mark.parametrize("state", ["RECEIVED", "ASSEMBLING", "DONE", "REJECTED"])
def test_only_a_planned_document_begins_to_be_read(ledger: Ledger, state: str) -> None:
    """READING follows PLANNED and nothing else."""
    steps: dict[str, Callable[[], object]] = {
        "RECEIVED": lambda: ledger.accept(job(), new_document()),
        "ASSEMBLING": lambda: (planned(ledger, row(1)), ledger.complete(DOC, [outcome(1)]), ledger.begin_assembly(DOC, 1)),
        "DONE": lambda: (steps["ASSEMBLING"](), ledger.publish(DOC, 1, "DONE")),
        "REJECTED": lambda: (planned(ledger, row(1)), ledger.reject(DOC, "failed", "because")),
    }
    steps[state]()
    assert ledger.reading(DOC).state == state


def test_what_was_delivered_in_part_is_not_rejected(ledger: Ledger) -> None:
    """A dead letter that comes late takes nothing away."""
    planned(ledger, row(1))
    ledger.complete(DOC, [outcome(1, state="QUARANTINED")])
    ledger.begin_assembly(DOC, 1)
    delivered = ledger.publish(DOC, 1, "PARTIAL")
    assert ledger.reject(DOC, "failed", "no") == delivered


def test_a_job_on_record_is_not_rejected(ledger: Ledger) -> None:
    """Neither an accepted upload nor the first reason for one that was refused is written over."""
    ledger.accept(job(1), new_document())
    for number in (1, 2):
        ledger.reject_job(msgspec.structs.replace(job(number, document=""), code="over_limit", reason="too big"))
    ledger.reject_job(msgspec.structs.replace(job(2, document=""), code="failed", reason="late"))
    assert ledger.job("job1") == job(1)
    assert ledger.job("job2").reason == "too big"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("held", "added", "stand"),
    [
        ([row(1, 5)], [row(1, 2), row(3), row(4, 5)], [(1, 5)]),
        ([row(1, 2), row(4)], [row(1, 6)], [(1, 2), (3, 3), (4, 4), (5, 6)]),
        ([row(3, 5)], [row(1, 4), row(5), row(6)], [(1, 2), (3, 5), (6, 6)]),
        ([], [row(1, 3), row(2, 4), row(4)], [(1, 3), (4, 4)]),
    ],
)
def test_a_plan_that_packs_its_pages_otherwise_fills_only_the_gaps(
    ledger: Ledger, held: list[PagesRow], added: list[PagesRow], stand: list[tuple[int, int]]
) -> None:
    """A page that could not be looked at once may be seen the next time: every page still has one row, and none is lost."""
    ledger.accept(job(), new_document())
    ledger.add_pages(DOC, held)
    ledger.add_pages(DOC, added)
    assert [(r.first, r.last) for r in ledger.pages(DOC)] == stand
    ledger.planned(DOC, stand[-1][1], "application/pdf")
    check(ledger)


def test_a_packet_taken_apart_holds_its_pages_against_a_new_plan(ledger: Ledger) -> None:
    """Neither the packet nor another packing of its pages comes back."""
    planned(ledger, row(1, 4))
    ledger.unpack(DOC, 1, 4)
    ledger.add_pages(DOC, [row(1, 2), row(3, 4), row(1, 4)])
    assert [(r.first, r.last) for r in ledger.pages(DOC)] == [(n, n) for n in range(1, 5)]
    check(ledger)


def test_more_rows_than_fit_into_one_write(ledger: Ledger) -> None:
    """A plan of 250 single pages and a packet arrives whole, in order; laid down again it changes nothing."""
    rows = [row(n) for n in range(1, 251)] + [row(251, 300)]
    ledger.accept(job(), new_document())
    for _ in range(2):
        ledger.add_pages(DOC, rows)
        assert [(r.first, r.last) for r in ledger.pages(DOC)] == [(r.first, r.last) for r in rows]


def test_rows_need_a_document(ledger: Ledger) -> None:
    """`NotFound`, and no stray row."""
    with pytest.raises(NotFound):
        ledger.add_pages("nobody", [row(1)])
    assert list(ledger.pages("nobody")) == []
