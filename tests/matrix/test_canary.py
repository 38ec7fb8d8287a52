"""What the canary makes of its own remains, and of documents that did not come back."""

from __future__ import annotations

import pytest

from tests.matrix.world import HOUR, World, world


def _failures(here: World) -> list[str]:
    return [fields["reason"] for _, event, fields in here.meter.events if event == "canary failed"]


@pytest.mark.parametrize("gone", ["text", "document"])
def test_a_run_that_died_while_it_cleared_away_ends_no_other(gone: str) -> None:
    """What it left half cleared is reported once; the runs after it are whole."""
    with world() as here:
        here.simulation.run(HOUR + 120)
        assert _failures(here) == []
        *_, document = here.pipeline_ledger_documents()
        if gone == "text":
            here.ports.results.delete(document.output_prefix + "document.txt")
        else:
            here.true_ledger._documents.pop(document.document_id)
            here.true_ledger._watched.pop(document.document_id)
        here.simulation.run(HOUR)
        assert _failures(here) == [f"its {gone} is gone"]


def test_what_was_not_taken_in_is_reported() -> None:
    """Both of its documents."""
    with world() as here:
        here.inbox.silent = True
        here.simulation.run(1900)
        assert _failures(here) == ["it was not taken in"] * 2
