"""What comes late, twice or out of order takes nothing back and spoils nothing; a late success is still a success."""

from __future__ import annotations

import random

import pytest

from escriba.ledger import Outcome
from escriba.messages import DocumentReady, PagesRequested, encode
from tests.faults.harness import assert_conserved, made_up, outputs, pipeline, reader_of, run, undisturbed


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_in_random_order_in_parallel(seed: int) -> None:
    """Every message may come twice, in any order, to four workers at once."""
    with pipeline(disorder=random.Random(seed)) as made:
        job = made.upload("a.pdf", made_up("tttotot" * 20))
        run(made, workers=4)
        assert_conserved(made)
        assert outputs(made, job) == undisturbed("tttotot" * 20)


def test_a_stale_failure_after_a_success_changes_nothing() -> None:
    """A page's dead letter that arrives after the page was read leaves document and outputs alone."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("oo"))
        run(made)
        _, document = made.result(job)
        assert document is not None
        stale = PagesRequested(
            sent_at=made.ports.clock.now(),
            document_id=document.document_id,
            first=1,
            last=1,
            generation=1,
            route="ocr",
            object_key="k",
            offset=0,
        )
        made.queues["pages-dlq"].send([encode(stale)])
        run(made)
        assert_conserved(made)
        assert made.result(job)[1] == document
        assert outputs(made, job) == undisturbed("oo")


def test_a_late_success_upgrades_a_quarantined_page() -> None:
    """A reader that was thought dead finishes after all: a new revision has the page, and it becomes current."""
    with pipeline() as made:
        reader_of(made).deadly = {2}
        job = made.upload("a.pdf", made_up("oo"))
        run(made)
        _, document = made.result(job)
        assert document is not None
        assert (document.state, document.current) == ("PARTIAL", 1)
        reader_of(made).deadly = set()
        row = made.ports.ledger.pages_row(document.document_id, 2, 2)
        assert row is not None
        from escriba.stages.recognise import _read

        _read(document, row, made._worker_ports())
        run(made)
        assert_conserved(made)
        _, document = made.result(job)
        assert document is not None
        assert (document.state, document.current, document.done) == ("DONE", 2, 2)
        assert outputs(made, job) == undisturbed("oo")


def test_a_late_old_assembly_changes_nothing() -> None:
    """Revision 1 asked for again after revision 2 stands: nothing is written, nothing moves."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("oo"))
        run(made)
        _, document = made.result(job)
        assert document is not None
        made.ports.ledger.begin_assembly(document.document_id, 2)
        made.ports.ledger.publish(document.document_id, 2, "DONE")
        late = DocumentReady(sent_at=made.ports.clock.now(), document_id=document.document_id, revision=1)
        made.queues["assemble"].send([encode(late)])
        run(made)
        assert made.result(job)[1] == made.ports.ledger.document(document.document_id)
        assert made.ports.ledger.document(document.document_id).current == 2


def test_a_failure_of_another_generation_is_ignored_by_the_consumer() -> None:
    """A message of an older generation is dropped: a redrive has taken over."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("o"))
        run(made)
        _, document = made.result(job)
        assert document is not None
        before = made.ports.ledger.complete(document.document_id, [Outcome(first=1, last=1, generation=0, state="QUARANTINED")])
        assert before == document
