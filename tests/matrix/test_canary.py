"""What the canary makes of its own remains, and of documents that did not come back."""

from __future__ import annotations

import msgspec
import pytest

from escriba.identity import job_id
from escriba.ledger import JobRow
from escriba.stages.canary import STATE_KEY, Sent
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


def _of_the_canary(here: World) -> list[str]:
    """What is left of its documents that were sent more than a run ago: rows, objects, uploads."""
    moment = here.clock.now().timestamp() - 16 * 60
    rows = [d.name for d in here.true_ledger.documents() if d.tenant == "canary" and d.received_at < moment]
    known = {d.document_id for d in here.true_ledger.documents()}
    objects = [key for key in here.ports.results.keys("readings/") if key.split("/")[1] not in known]
    uploads = [upload.key for upload in here.inbox.versions("inbox/canary/") if upload.stored_at < moment]
    return rows + objects + uploads


def test_what_was_late_is_cleared_away_once_it_has_ended() -> None:
    """Reported once, while it was under way; nothing of it is left when the pipeline goes again."""
    with world() as here:
        here.simulation.disabled.add("recognise_pages")
        here.simulation.run(2 * HOUR)
        reported = len(_failures(here))
        assert 12 <= reported <= 16  # eight runs at most, two documents each
        here.simulation.disabled.clear()
        here.simulation.run(HOUR)
        assert len(_failures(here)) <= reported + 2  # those of the last run before it was mended
        assert _of_the_canary(here) == []


@pytest.mark.parametrize("lost", ["events", "pages"])
def test_what_never_ends_is_cleared_away_when_no_message_can_be_left(lost: str) -> None:
    """Uploads that nobody took in, and documents whose pages nobody reads: after the four days that a queue keeps messages."""
    with world() as here:
        here.simulation.disabled |= {"reconcile"} if lost == "events" else {"reconcile", "recognise_pages"}
        here.inbox.silent = lost == "events"
        here.simulation.run(1900)
        first = set(_of_the_canary(here))
        for days in (3, 1):
            assert first
            assert first <= set(_of_the_canary(here))
            here.clock.sleep(days * 86_400)
            here.simulation.run(1000)
        assert not first & set(_of_the_canary(here))


def test_what_was_refused_does_not_stay_in_the_inbox() -> None:
    """Nobody else would take it away."""
    with world() as here:
        key = "inbox/canary/default/digital-2"
        version = here.inbox.put(key, b"garbage")
        sent = Sent("digital", job_id("inbox", key, version), "2", key, version, here.clock.now().timestamp())
        here.ports.ledger.reject_job(JobRow(job_id=sent.job_id, tenant="canary", key=key, code="over_limit", reason="too large"))
        here.ports.results.put(STATE_KEY, msgspec.json.encode([sent]))
        here.simulation.run(1900)
        assert _failures(here) == ["it was rejected: too large"]
        assert _of_the_canary(here) == []
