"""What each stage promises to the next, tried at the stage itself: generations, order of writes, what is sent and what is announced."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from escriba.errors import RetryableError
from escriba.ledger import PagesRow
from escriba.memory.objects import MemoryObjectStore
from escriba.messages import DocumentCompleted, decode, encode
from escriba.stages.quarantine import quarantine
from escriba.stages.recognise import recognise
from escriba.stages.scratch import fetch
from escriba.stages.split import accept, attend, plan, send_waiting
from tests.faults.harness import document_of, laid_down, made_up, pipeline, reader_of, run


def test_an_upload_of_the_same_bytes_leaves_the_planning_to_the_first() -> None:
    """Only the upload that made the document has it split."""
    with pipeline() as made:
        made.upload("a.pdf", made_up("o"))
        made.upload("b.pdf", made_up("o"))
        first, second = (decode(event.body) for event in made.queues["intake"].receive(2))
        ports = made._worker_ports()
        identity = accept(first, ports)  # type: ignore[arg-type]
        assert accept(second, ports) == identity  # type: ignore[arg-type]
        attend(identity, second, ports)  # type: ignore[arg-type]
        assert made.ports.ledger.document(identity).state == "RECEIVED"
        attend(identity, first, ports)  # type: ignore[arg-type]
        assert made.ports.ledger.document(identity).state == "READING"


def test_a_row_names_an_object_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds a row can read its page."""
    with pipeline() as made:
        real, seen = made.ports.ledger.add_pages, []

        def add_pages(identity: str, rows: Sequence[PagesRow]) -> None:
            seen.extend(made.ports.results.size(row.object_key) for row in rows)
            real(identity, rows)

        monkeypatch.setattr(made.ports.ledger, "add_pages", add_pages)
        laid_down(made, "oto")
        assert len(seen) == 3


def test_what_is_opened_again_belongs_to_its_generation() -> None:
    """Rows and messages carry it, and a page that is refused then is quarantined in it."""
    with pipeline() as made:
        document, messages = laid_down(made, "oo", generation=2)
        assert document.generation == 2
        assert [row.generation for row in made.ports.ledger.pages(document.document_id)] == [2, 2]
        assert [message.generation for message in messages] == [2, 2]
        reader_of(made).refused = {1}
        for message in messages:
            recognise(message, 1, made._worker_ports())
        after = made.ports.ledger.document(document.document_id)
        assert (after.quarantined, after.done) == (1, 1)


def test_only_waiting_pages_are_sent() -> None:
    """A replay of the plan does not have finished pages read again."""
    with pipeline() as made:
        document, [one, _] = laid_down(made, "oo")
        recognise(one, 1, made._worker_ports())
        send_waiting(document, made.ports.ledger.pages(document.document_id), made.ports)
        assert [decode(d.body).first for d in made.queues["pages"].receive(10)] == [2]  # type: ignore[union-attr]


def test_a_plan_that_finds_every_page_done_announces_the_document() -> None:
    """Nobody else would: no page is left to be the last."""
    with pipeline() as made:
        document, [message] = laid_down(made, "o")
        recognise(message, 1, made._worker_ports())
        made.queues["assemble"].receive(1)
        plan(made.ports.ledger.document(document.document_id), 1, made._worker_ports())
        assert made.queues["assemble"].depth().visible == 1


@pytest.mark.parametrize("why", ["rejected", "older generation"])
def test_pages_that_nobody_waits_for_are_not_read(why: str) -> None:
    """Of a document that has been rejected, or asked for by a message of a generation gone by."""
    with pipeline() as made:
        document, [message] = laid_down(made, "o", generation=2)
        if why == "rejected":
            made.ports.ledger.reject(document.document_id, "failed", "because")
        else:
            message = message.model_copy(update={"generation": 1})
        recognise(message, 1, made._worker_ports())
        assert reader_of(made).reads.total() == 0


def test_the_same_pages_are_stored_as_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever they are read: a result's key is made of its content, and holds no time."""
    clock = itertools.count(1_700_000_000, 1000)
    monkeypatch.setattr("time.time", lambda: next(clock))
    keys = []
    for _ in range(2):
        with pipeline() as made:
            document, [message] = laid_down(made, "o")
            recognise(message, 1, made._worker_ports())
            keys.append([row.result_key for row in made.ports.ledger.pages(document.document_id)])
    assert keys[0] == keys[1]


def test_a_dead_page_of_another_generation_is_not_quarantined() -> None:
    """A failure speaks for the generation of its message, not for the one that its row has reached."""
    with pipeline() as made:
        document, [message] = laid_down(made, "o", generation=2)
        quarantine("pages-dlq", "m", encode(message.model_copy(update={"generation": 1})), made.ports)
        assert made.ports.ledger.document(document.document_id).waiting == 1
        quarantine("pages-dlq", "m", encode(message), made.ports)
        assert made.ports.ledger.document(document.document_id).quarantined == 1


def test_a_document_that_dies_says_so_to_the_outside() -> None:
    """REJECTED by the quarantine is an end like any other: one event, with the reason."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("o"))
        [event] = made.queues["intake"].receive(1)
        accept(decode(event.body), made._worker_ports())  # type: ignore[arg-type]
        quarantine("intake-dlq", "m", event.body, made.ports)
        [completed] = made.ports.events.published  # type: ignore[attr-defined]
        assert isinstance(completed, DocumentCompleted)
        assert (completed.state, completed.reason) == ("REJECTED", document_of(made, job).reason)


def test_the_reason_of_an_upload_rejected_at_the_door_outlives_its_dead_letter() -> None:
    """The job keeps the first sentence."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("o"), policy="missing")
        [event] = made.queues["intake"].receive(1)
        made.queues["intake"].change_visibility(event.receipt, 0)
        run(made)
        before = made.ports.ledger.job(job)
        quarantine("intake-dlq", "m", event.body, made.ports)
        assert made.ports.ledger.job(job) == before
        assert "upload quarantined" not in [event for _, event, _ in made.ports.meter.events]  # type: ignore[attr-defined]
        assert before is not None
        assert before.code == "unknown_policy"


class Breaking(MemoryObjectStore):
    """Breaks off its first download in the middle."""

    whole = False

    def download(self, key: str, path: Path, *, version: str = "") -> None:
        if not self.whole:
            self.whole = True
            path.write_bytes(self.get(key)[:2])
            raise RetryableError("the connection broke")
        super().download(key, path, version=version)


def test_a_download_that_breaks_off_is_not_taken_for_the_file() -> None:
    """The next try brings the whole of it."""
    with pipeline() as made:
        made.ports = replace(made.ports, results=Breaking())
        made.ports.results.put("a", b"whole")
        with pytest.raises(RetryableError):
            fetch("a", made.ports)
        assert fetch("a", made.ports).read_bytes() == b"whole"


def test_a_workers_disk_holds_one_object_at_a_time() -> None:
    """A warm worker does not fill up with the documents of a day; the last one is not brought twice."""
    with pipeline() as made:
        for name in ("a", "b"):
            made.ports.results.put(name, name.encode())
        fetch("a", made.ports)
        path = fetch("b", made.ports)
        assert list(made.ports.scratch.iterdir()) == [path]
        made.ports.results.delete("b")
        assert fetch("b", made.ports).read_bytes() == b"b"
