"""Whatever dies, and whenever it dies, every page is accounted for and the outputs are the undisturbed run's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from escriba.identity import job_id
from escriba.messages import DocumentCompleted
from tests.faults.harness import Crash, Fragile, assert_conserved, made_up, outputs, pipeline, reader_of, run, undisturbed

ROUTES = "ttot"


def _run_with_a_crash(at: int, routes: str = ROUTES, deadly: frozenset[int] = frozenset()) -> tuple[bool, dict[str, bytes], str]:
    """Run a document through with the process dying after its `at`-th side effect; whether it died, the outputs, the state."""
    with pipeline() as made:
        reader_of(made).deadly = set(deadly)
        crash = Crash(at)
        whole = made.ports
        made.ports = replace(
            whole,
            inbox=Fragile(whole.inbox, crash),
            results=Fragile(whole.results, crash),
            ledger=Fragile(whole.ledger, crash),
            events=Fragile(whole.events, crash),
            queues={name: Fragile(queue, crash) for name, queue in whole.queues.items()},
        )
        key = "inbox/local/default/a.pdf"
        version = whole.inbox.put(key, made_up(routes))
        from escriba.messages import object_created

        made.queues["intake"].send([object_created("inbox", key, version, 1, whole.clock.now())])
        run(made)
        assert_conserved(made)
        job = job_id("inbox", key, version)
        _, document = made.result(job)
        assert document is not None
        assert list(whole.inbox.keys("")) == []
        return crash.count >= at, outputs(made, job), document.state


def test_a_crash_between_each_pair_of_side_effects_changes_nothing() -> None:
    """For every n, dying right after the n-th side effect of the whole run gives the same bytes as dying never."""
    expected, at = undisturbed(ROUTES), 0
    died = True
    while died:
        at += 1
        died, got, state = _run_with_a_crash(at)
        assert got == expected, f"after side effect {at}"
        assert state == "DONE"
    assert at > 20


def test_a_crash_anywhere_on_the_way_of_a_poison_page_still_delivers_the_rest() -> None:
    """The same enumeration with a page that always kills its reader: PARTIAL, page 3 named, the other pages as ever."""
    at, died = 0, True
    while died:
        at += 1
        died, got, state = _run_with_a_crash(at, deadly=frozenset({3}))
        assert state == "PARTIAL", f"after side effect {at}"
        for page in (1, 2, 4):
            assert f"page-{page}".encode() in got["document.txt"]
        assert b"page-3" not in got["document.txt"]


def test_a_handler_killed_at_page_50_of_100_reads_no_page_again() -> None:
    """When the sandbox dies while it reads page 50, at most the page in flight is read twice."""
    with pipeline() as made:
        reader = reader_of(made)
        reader.dies_after = 49
        job = made.upload("a.pdf", made_up("o" * 100))
        handlers = dict(made.handlers())
        recognise = handlers["recognise_pages"]

        def die_once(event: object, context: object) -> object:
            try:
                return recognise(event, context)  # type: ignore[arg-type]
            finally:
                if reader.reads.total() > 49:
                    reader.dies_after = None

        handlers["recognise_pages"] = die_once  # type: ignore[assignment]
        run(made, handlers=handlers)
        assert reader.reads.total() == 101
        assert_conserved(made)
        assert outputs(made, job) == undisturbed("o" * 100)


@pytest.mark.parametrize("kind", ["deadly", "hanging"])
@pytest.mark.parametrize("route", ["o", "t"])
def test_a_page_that_always_kills_or_hangs_its_reader(kind: str, route: str) -> None:
    """Page 7 is quarantined with its reason after three failures, or two when each cost its time limit; its neighbours, packed with it or not, are delivered."""
    with pipeline() as made:
        reader = reader_of(made)
        setattr(reader, kind, {7})
        job = made.upload("a.pdf", made_up(route * 12))
        run(made)
        assert_conserved(made)
        _, document = made.result(job)
        assert document is not None
        assert (document.state, document.done, document.quarantined) == ("PARTIAL", 11, 1)
        row = made.ports.ledger.pages_row(document.document_id, 7, 7)
        assert row is not None
        assert (row.state, row.attempts) == ("QUARANTINED", 3 if kind == "deadly" else 2)
        assert ("signal 9" if kind == "deadly" else "did not answer") in row.reason
        assert made.ports.meter.counts["PagesQuarantined"] == 1  # type: ignore[attr-defined]
        assert reader.reads[7] <= 4
        text = outputs(made, job)
        assert text["document.md"].count(b"page-") == 11
        assert b"7" in text["document.md"]
        [completed] = [m for m in made.ports.events.published if isinstance(m, DocumentCompleted)]  # type: ignore[attr-defined]
        assert (completed.state, completed.pages["QUARANTINED"]) == ("PARTIAL", 1)


def test_a_sandbox_that_dies_without_a_word_is_caught_by_the_queue() -> None:
    """A page whose whole Lambda dies each time reaches the dead letters by SQS's own count and is quarantined."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("oo"))
        handlers = dict(made.handlers())
        recognise = handlers["recognise_pages"]

        def die_on_page_2(event: dict[str, object], context: object) -> object:
            if '"first":2' in event["Records"][0]["body"]:  # type: ignore[index]
                from escriba.local.dispatcher import NeverReturned

                raise NeverReturned
            return recognise(event, context)

        handlers["recognise_pages"] = die_on_page_2  # type: ignore[assignment]
        run(made, handlers=handlers)
        assert_conserved(made)
        _, document = made.result(job)
        assert document is not None
        assert (document.state, document.quarantined) == ("PARTIAL", 1)
        row = made.ports.ledger.pages_row(document.document_id, 2, 2)
        assert row is not None
        assert "without saying why" in row.reason


def test_pages_that_an_engine_refuses_are_quarantined_at_once() -> None:
    """A permanent refusal is recorded with its reason and costs no second try; the packet's other pages are delivered."""
    with pipeline() as made:
        reader_of(made).refused = {2}
        job = made.upload("a.pdf", made_up("ttt"))
        run(made)
        assert_conserved(made)
        _, document = made.result(job)
        assert document is not None
        assert (document.state, document.done, document.quarantined) == ("PARTIAL", 2, 1)
        row = made.ports.ledger.pages_row(document.document_id, 2, 2)
        assert row is not None
        assert (row.reason, row.attempts) == ("broken page", 0)
        assert reader_of(made).reads[2] == 2
