"""A dead letter ends what it names and nothing else, and a document that failed is whole when it is opened again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from escriba.ledger import DocumentRow, Outcome
from escriba.local.dispatcher import Handler, NeverReturned
from escriba.local.in_memory import InMemoryPipeline
from escriba.messages import DocumentReady, PagesRequested, SplitContinued, encode
from escriba.stages.quarantine import quarantine
from tests.faults.harness import assert_conserved, document_of, made_up, outputs, pipeline, reader_of, run, undisturbed


def dying(made: InMemoryPipeline, function: str, times: int = 3) -> Mapping[str, Handler]:
    """The handlers, of which one dies so many times before it does anything."""
    handlers, left = made.handlers(), [times]
    real = handlers[function]

    def handle(event: dict[str, Any], context: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise NeverReturned
        return real(event, context)

    return handlers | {function: handle}


@pytest.mark.parametrize("function", ["split_document", "assemble_document"])
def test_a_document_that_failed_is_whole_when_it_is_uploaded_again(function: str) -> None:
    """Split or assembly dies for good: REJECTED and said so; the next upload of the same bytes delivers the undisturbed outputs."""
    with pipeline() as made:
        first = made.upload("a.pdf", made_up("oto"))
        run(made, handlers=dying(made, function))
        job, document = made.result(first)
        assert (job.code if document is None else document.state) in {"failed", "REJECTED"}
        again = made.upload("a.pdf", made_up("oto"))
        run(made)
        assert_conserved(made)
        assert outputs(made, again) == undisturbed("oto")
        assert document_of(made, again).reason == ""


def test_pages_already_read_are_not_read_again_after_the_plan_failed() -> None:
    """PLANNED, page 1 read, then split gives up: the new upload counts what is done and reads the rest."""
    with pipeline() as made:
        real, left = made.ports.ledger.reading, [3]

        def reading(identity: str) -> DocumentRow:
            if left[0]:
                left[0] -= 1
                raise NeverReturned
            return real(identity)

        made.ports.ledger.reading = reading  # type: ignore[method-assign]
        made.upload("a.pdf", made_up("ooo"))
        run(made)
        again = made.upload("a.pdf", made_up("ooo"))
        run(made)
        assert_conserved(made)
        assert outputs(made, again) == undisturbed("ooo")
        assert max(reader_of(made).reads.values()) == 1


def test_dead_messages_of_the_past_end_nothing() -> None:
    """An upload's dead duplicate while its document is read or done, and a split of another generation, change nothing."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("oo"))
        [event] = made.queues["intake"].receive(1)
        made.queues["intake"].change_visibility(event.receipt, 0)
        run(made)
        before = document_of(made, job)
        stale = SplitContinued(sent_at=made.ports.clock.now(), document_id=before.document_id, first=1, generation=7)
        for body in (event.body, encode(stale)):
            quarantine("intake-dlq", "m", body, made.ports)
        assert document_of(made, job) == before


def test_another_uploads_dead_event_does_not_reject_a_document_being_planned() -> None:
    """Only the upload that plans a document can fail it."""
    with pipeline() as made:
        made.upload("a.pdf", made_up("o"))
        other = made.upload("b.pdf", made_up("o"))
        bodies = {d.body for d in made.queues["intake"].receive(10)}
        [dead] = [body for body in bodies if "b.pdf" in body]
        handlers = made.handlers()
        made.queues["intake"].send([body for body in bodies if body != dead])
        run(made, handlers=handlers)
        quarantine("intake-dlq", "m", dead, made.ports)
        assert made.ports.ledger.job(other) is not None
        assert [document.state for document in made.ports.ledger.documents()] == ["DONE"]


def test_an_upload_given_up_too_early_is_taken_in_when_its_event_comes_after_all() -> None:
    """The job that the quarantine wrote makes way for the real one."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("o"))
        [event] = made.queues["intake"].receive(1)
        quarantine("intake-dlq", "m", event.body, made.ports)
        made.queues["intake"].change_visibility(event.receipt, 0)
        run(made)
        assert document_of(made, job).state == "DONE"


def test_a_revision_that_cannot_be_assembled_is_said_and_the_one_before_stands() -> None:
    """Revision 1 stays current; the dead letter is kept for a person."""
    with pipeline() as made:
        reader_of(made).deadly = {2}
        job = made.upload("a.pdf", made_up("oo"))
        run(made)
        document = document_of(made, job)
        late = Outcome(first=2, last=2, generation=1, state="DONE", result_key="elsewhere")
        made.ports.ledger.complete(document.document_id, [late])
        ready = DocumentReady(sent_at=made.ports.clock.now(), document_id=document.document_id, revision=2)
        quarantine("assemble-dlq", "m", encode(ready), made.ports)
        assert document_of(made, job).current == 1
        assert [letter.queue for letter in made.ports.ledger.dead_letters()] == ["assemble-dlq"]


def test_a_dead_assembly_of_an_old_revision_asks_for_the_new_one() -> None:
    """Nothing is lost when revision 1 dies while revision 2 is already asked for."""
    with pipeline() as made:
        reader_of(made).deadly = {2}
        job = made.upload("a.pdf", made_up("oo"))
        run(made)
        document = document_of(made, job)
        row = made.ports.ledger.pages_row(document.document_id, 1, 1)
        assert row is not None
        made.ports.ledger.complete(
            document.document_id, [Outcome(first=2, last=2, generation=1, state="DONE", result_key=row.result_key, engine="x")]
        )
        quarantine(
            "assemble-dlq",
            "m",
            encode(DocumentReady(sent_at=made.ports.clock.now(), document_id=document.document_id, revision=1)),
            made.ports,
        )
        run(made)
        assert document_of(made, job).current == 2


def test_a_message_that_strayed_is_no_dead_page() -> None:
    """A page's message in the assemble queue's dead letters is kept, and the page is read all the same."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("o"))
        stray = PagesRequested(
            sent_at=made.ports.clock.now(), document_id="d", first=1, last=1, generation=1, route="ocr", object_key="k", offset=0
        )
        quarantine("assemble-dlq", "m", encode(stray), made.ports)
        run(made)
        assert document_of(made, job).state == "DONE"
        assert len(list(made.ports.ledger.dead_letters())) == 1


@pytest.mark.parametrize("queue", ["intake", "pages", "assemble"])
@pytest.mark.parametrize(
    "body",
    [
        "not json",
        '{"source":"escriba","detail-type":"Pages Requested","detail":{"schema_version":99}}',
        '{"source":"escriba","detail-type":"Nonsense","detail":{}}',
        '{"source":"somebody","detail-type":"Object Created","detail":{}}',
    ],
)
def test_undecodable_and_future_messages_are_dead_lettered_and_kept(queue: str, body: str) -> None:
    """Never acknowledged by their consumer: they reach the dead letters, and the ledger keeps them for a person."""
    with pipeline() as made:
        made.queues[queue].send([body])
        run(made)
        [letter] = made.ports.ledger.dead_letters()
        assert (letter.queue, letter.body) == (f"{queue}-dlq", body)
        assert letter.reason


def test_a_message_for_an_unknown_document_is_kept_as_a_dead_letter() -> None:
    """Pages of a document that the ledger does not know end where a person finds them, not in an endless loop."""
    with pipeline() as made:
        message = DocumentReady(sent_at=made.ports.clock.now(), document_id="nobody", revision=1)
        made.queues["assemble"].send([encode(message)])
        run(made)
        [letter] = made.ports.ledger.dead_letters()
        assert "nobody" in letter.reason
