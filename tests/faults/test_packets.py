"""A packet of pages is taken apart when something goes wrong with it, so that each page ends by what itself is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from escriba.document import Page, Route
from escriba.errors import EngineUnavailable
from escriba.ledger import DocumentRow, Outcome
from escriba.local.dispatcher import NeverReturned
from escriba.local.in_memory import InMemoryPipeline
from escriba.messages import PagesRequested, decode, encode
from escriba.policy import Policy
from escriba.ports import Rejection
from escriba.stages.quarantine import quarantine
from escriba.stages.recognise import give_up, recognise
from tests.faults.harness import assert_conserved, document_of, laid_down, made_up, outputs, pipeline, reader_of, run, undisturbed


def stand(made: InMemoryPipeline, document: DocumentRow) -> list[tuple[int, int, str]]:
    """The document's rows: first and last page, state."""
    return [(row.first, row.last, row.state) for row in made.ports.ledger.pages(document.document_id)]


@pytest.mark.parametrize("poison", [set(), {3}, {1, 5}])
def test_a_packet_whose_reader_dies_without_a_word_loses_only_the_page_that_kills(poison: set[int]) -> None:
    """Three silent deaths of the whole: the dead letter is taken apart and read page by page, and it ends."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("ttttt"))
        handlers = dict(made.handlers())
        real = handlers["recognise_pages"]

        def die(event: dict[str, Any], context: Any) -> Any:
            message = decode(event["Records"][0]["body"])
            assert isinstance(message, PagesRequested)
            if message.last > message.first or message.first in poison:
                raise NeverReturned
            return real(event, context)

        run(made, handlers=handlers | {"recognise_pages": die})
        assert_conserved(made)
        document = document_of(made, job)
        assert (document.quarantined, document.done) == (len(poison), 5 - len(poison))
        if not poison:
            assert outputs(made, job) == undisturbed("ttttt")


def test_a_dead_packet_of_another_generation_takes_nothing_apart() -> None:
    """What waits anew is not touched by a failure of the time before."""
    with pipeline() as made:
        document, [message] = laid_down(made, "ttt", generation=2)
        stale = encode(message.model_copy(update={"generation": 1}))
        quarantine("pages-dlq", "m", stale, made.ports)
        assert stand(made, document) == [(1, 3, "WAITING")]


def test_a_dead_packet_that_was_taken_apart_before_has_its_waiting_pages_sent_again() -> None:
    """Whoever took it apart may have died before they were sent."""
    with pipeline() as made:
        document, [message] = laid_down(made, "ttt")
        made.ports.ledger.unpack(document.document_id, 1, 3)
        quarantine("pages-dlq", "m", encode(message), made.ports)
        run(made)
        assert made.ports.ledger.document(document.document_id).state == "DONE"


@pytest.mark.parametrize(("attempts", "receives", "whole"), [(0, 1, True), (1, 1, False), (0, 2, False)])
def test_a_packet_is_read_whole_only_the_first_time(attempts: int, receives: int, *, whole: bool) -> None:
    """A counted failure or a second delivery, each by itself, has it taken apart."""
    with pipeline() as made:
        document, [message] = laid_down(made, "tt")
        for _ in range(attempts):
            made.ports.ledger.count_failure(document.document_id, 1, 2, 1, "died")
        recognise(message, receives, made._worker_ports())
        assert stand(made, document) == ([(1, 2, "DONE")] if whole else [(1, 1, "WAITING"), (2, 2, "WAITING")])


def test_a_packet_that_comes_again_when_its_pages_are_done_announces_the_document() -> None:
    """Whoever completed the last page may have died before it was announced."""
    with pipeline() as made:
        document, [message] = laid_down(made, "tt")
        made.ports.ledger.unpack(document.document_id, 1, 2)
        made.ports.ledger.complete(document.document_id, [Outcome(first=n, last=n, generation=1, state="DEGRADED") for n in (1, 2)])
        recognise(message, 2, made.ports)
        assert made.queues["assemble"].depth().total == 1


Lie = Callable[[Page | Rejection], list[Page | Rejection]]


@pytest.mark.parametrize("route", ["o", "t"])
@pytest.mark.parametrize("lie", [lambda page: [replace(page, number=9)], lambda page: [], lambda page: [page, page]])
@pytest.mark.parametrize("times", [1, 99])
def test_a_reader_that_answers_for_other_pages_is_not_believed(monkeypatch: pytest.MonkeyPatch, route: str, lie: Lie, times: int) -> None:
    """A wrong number, no answer or two for page 3: counted as a failure, tried again, quarantined at last; every other page is in its place."""
    with pipeline() as made:
        real, left = reader_of(made).read, [times]

        def read(path: Path, policy: Policy, route: Route, first: int, last: int, offset: int) -> Sequence[Page | Rejection]:
            answers = real(path, policy, route, first, last, offset)
            if not first <= 3 <= last or not left[0]:
                return answers
            left[0] -= 1
            return [told for answer in answers for told in (lie(answer) if answer.number == 3 else [answer])]

        monkeypatch.setattr(reader_of(made), "read", read)
        job = made.upload("a.pdf", made_up(route * 5))
        run(made)
        assert_conserved(made)
        if times == 1:
            assert outputs(made, job) == undisturbed(route * 5)
            return
        document = document_of(made, job)
        row = made.ports.ledger.pages_row(document.document_id, 3, 3)
        assert row is not None
        assert (row.state, row.attempts, document.done) == ("QUARANTINED", 3, 4)
        assert row.reason == "the reader answered for other pages than it was asked for"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(EngineUnavailable("the reader died"), "the reader died"), (ValueError("secret text"), "an internal error (ValueError)")],
)
def test_only_our_own_sentences_are_kept_of_a_failure(error: Exception, sentence: str) -> None:
    """Any other exception's text may quote the document: of it the ledger and the log keep the kind alone."""
    with pipeline() as made:
        document, [message] = laid_down(made, "o")
        give_up(message, error, "pages", made.ports)
        [row] = made.ports.ledger.pages(document.document_id)
        assert row.failure == sentence
        assert "secret" not in str(made.ports.meter.events)  # type: ignore[attr-defined]
