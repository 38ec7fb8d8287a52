"""How a document is delivered, revision by revision, on both ledgers: assembled when nothing waits, improved, opened again."""

from __future__ import annotations

from escriba.ledger import Ledger
from tests.contract.ledgers import DOC, check, job, new_document, outcome, planned, row


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


def test_success_wipes_out_a_rejection_that_came_between(ledger: Ledger) -> None:
    """A dead duplicate rejects the document while it is assembled: the assembly still delivers, and no reason is left."""
    planned(ledger, row(1))
    ledger.complete(DOC, [outcome(1)])
    ledger.begin_assembly(DOC, 1)
    ledger.reject(DOC, "failed", "dead duplicate")
    published = ledger.publish(DOC, 1, "DONE")
    assert published is not None
    assert (published.state, published.code, published.reason) == ("DONE", "", "")


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
