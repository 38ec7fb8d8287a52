"""The reconciler sends again what is lost, and nothing because of a backlog; the canary is a fresh reading each time and no figure of users'."""

from __future__ import annotations

import random

import pytest

from escriba.alarms import ALARMS
from escriba.local.alarm_evaluator import is_red
from escriba.memory.queue import MemoryQueue
from escriba.stages.figures import CANARY
from escriba.topology import MAX_RESENDS
from tests.matrix.world import HOUR, MINUTE, World, world

pytestmark = pytest.mark.no_cover  # hours of simulated work: being measured would double their time, and others cover the same code


def sent_again(here: World, event: str = "") -> int:
    return sum(e.endswith("sent again") and event in e for _, e, _ in here.meter.events)


def lose(queue: object, count: int) -> None:
    """Messages that no consumer ever sees."""
    assert isinstance(queue, MemoryQueue)
    for message_id in random.Random(5).sample(sorted(queue._messages), count):
        del queue._messages[message_id]


def test_a_backlog_causes_no_resend_and_lost_messages_among_it_are_sent_once() -> None:
    """10,000 pages of twenty documents wait hours for slow readers: of them exactly the 30 lost ones are sent again, once each, and all are read once."""
    with world() as here:
        here.ocr_seconds = 110
        here.simulation.disabled.add("recognise_pages")
        for number in range(20):
            here.upload("o" * 500, tenant=f"tenant{number % 3}")
        here.simulation.run(5 * MINUTE)
        assert here.pipeline.queues["pages"].depth().total == 10_000
        lose(here.pipeline.queues["pages"], 30)
        here.simulation.disabled.clear()
        here.simulation.run(80 * MINUTE)
        assert here.pipeline.queues["pages"].depth().total > 1_000  # still a backlog, and an old one
        assert sent_again(here) == 0
        here.simulation.run(3 * HOUR)
        assert sent_again(here, "pages") == sent_again(here) == 30
        assert {document.state for document in here.documents() if document} == {"DONE"}
        assert set(here.reader.reads_of.values()) == {1}
        assert here.violations == []


def test_what_is_lost_again_and_again_is_given_up_and_named() -> None:
    """A page whose messages never arrive is sent three times more, then QUARANTINED with that reason; the rest is delivered."""
    with world() as here:
        pages = here.pipeline.queues["pages"]
        whole = pages.send
        pages.send = lambda bodies, **kwargs: whole([b for b in bodies if '"first":2' not in b], **kwargs)  # type: ignore[method-assign]
        here.upload("too")
        here.simulation.run(2 * HOUR)
        [document] = here.documents()
        assert document is not None
        assert (document.state, document.done, document.quarantined) == ("PARTIAL", 2, 1)
        row = here.ports.ledger.pages_row(document.document_id, 2, 2)
        assert row is not None
        assert (row.state, row.resends, row.reason) == ("QUARANTINED", MAX_RESENDS, "its message was lost 4 times")
        assert sent_again(here, "pages") == MAX_RESENDS


def test_a_document_whose_own_messages_are_lost_ends_too() -> None:
    """The plan's and the assembly's messages are sent three times more; then the document is REJECTED, and says so."""
    for queue in ("intake", "assemble"):
        with world() as here:
            here.simulation.disabled.add("canary")
            here.upload("to")
            if queue == "intake":
                here.simulation.handlers["split_document"] = _taken_in_and_forgotten(here)
            else:
                here.pipeline.queues[queue].send = lambda bodies, **kwargs: None  # type: ignore[method-assign]
            here.simulation.run(2 * HOUR)
            [document] = here.documents()
            assert document is not None
            assert (document.state, document.reason) == ("REJECTED", "its message was lost 4 times"), queue
            assert sent_again(here, "document") == MAX_RESENDS


def _taken_in_and_forgotten(here: World):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from escriba.messages import ObjectCreated, decode
    from escriba.stages.split import accept

    def split(event, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for record in event["Records"]:
            message = decode(record["body"])
            if isinstance(message, ObjectCreated) and "/acme/" in message.object.key:
                accept(message, here.pipeline._worker_ports())
        return {}

    return split


def test_two_canaries_are_two_readings() -> None:
    """Each run sends two documents with nonces of their own, judges those of the run before, and leaves nothing behind but the last two."""
    with world() as here:
        here.simulation.run(65 * MINUTE)
        read = [name for name, _ in here.reader.reads_of]
        assert len(read) == len(set(read)) == 8
        assert here.store.statistic(("Escriba", "CanaryRuns", ()), "Sum", 0, here.simulation.now) == 4
        assert here.store.statistic(("Escriba", "CanaryFailures", ()), "Sum", 0, here.simulation.now) == 0
        seconds = here.store.statistic(("Escriba", "CanarySeconds", ()), "Maximum", 0, here.simulation.now)
        assert seconds is not None
        assert 0 < seconds < 60
        left = [document for document in here.ports.ledger.documents() if document.tenant == CANARY]
        assert len(left) == 2
        assert len({key.split("/")[2] for key in here.ports.results.keys(f"documents/{CANARY}/")}) == 2


def test_the_canary_is_no_figure_of_users() -> None:
    """An idle hour counts no page, no document and nothing under way."""
    with world() as here:
        here.simulation.run(HOUR)
        for name in ("PagesRead", "PagesFinished", "DocumentsCompleted"):
            assert ("Escriba", name, ()) not in here.store.keys()  # noqa: SIM118  (keys is its method)
        assert here.store.statistic(("Escriba", "DocumentsInFlight", ()), "Maximum", 0, here.simulation.now) == 0


def test_a_canary_that_comes_back_wrong_alarms() -> None:
    """Wrong text, and a canary that never came back, are failures with their reasons, and the alarm is red."""
    [alarm] = [alarm for alarm in ALARMS if alarm.name == "canary-failed"]
    for reason in ("its text came back wrong", "it is still READING"):
        with world() as here:
            here.reader.deaf = "text" in reason
            if "still" in reason:
                here.simulation.disabled.add("recognise_pages")
            here.simulation.run(31 * MINUTE)
            assert reason in {fields["reason"] for _, event, fields in here.meter.events if event == "canary failed"}
            assert is_red(alarm, here.store, here.simulation.now)


def test_a_message_that_was_only_late_is_dropped_when_its_page_was_sent_again() -> None:
    """It comes back after the re-send, before its successor: the page is read once, by the newer generation's message."""
    with world() as here:
        pages = here.pipeline.queues["pages"]
        assert isinstance(pages, MemoryQueue)
        here.simulation.disabled.add("recognise_pages")
        here.upload("o")
        here.simulation.run(MINUTE)
        late = dict(pages._messages)
        pages._messages.clear()
        here.simulation.run(20 * MINUTE)
        assert sent_again(here, "pages") == 1
        newer = dict(pages._messages)
        pages._messages.clear()
        pages._messages.update(late)
        here.simulation.disabled.clear()
        here.simulation.run(2 * MINUTE)
        assert here.reader.reads_of["document 0", 1] == 0
        pages._messages.update(newer)
        here.simulation.run(2 * MINUTE)
        assert here.reader.reads_of["document 0", 1] == 1
        assert [document.state for document in here.documents() if document] == ["DONE"]
