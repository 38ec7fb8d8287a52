"""The real Lambda handlers on the embedded AWS, disturbed: duplicates, crashes between AWS calls, refused and repeated events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from escriba.aws.clients import client
from escriba.conservation import conservation_violation
from escriba.local.dispatcher import Dispatcher, Handler, NeverReturned
from escriba.local.pipeline import LocalPipeline, local_pipeline
from escriba.memory.clock import SystemClock
from escriba.policy import Policy
from escriba.topology import TOPOLOGY
from lambdas import assemble_document, entry, quarantine, recognise_pages, split_document
from tests.faults.harness import OUTPUTS, ObedientReader, made_up, undisturbed

HANDLERS: dict[str, Handler] = {
    "split_document": split_document.handler,
    "recognise_pages": recognise_pages.handler,
    "assemble_document": assemble_document.handler,
    "quarantine": quarantine.handler,
}
QUICK = TOPOLOGY.scaled(1 / 240)  # a visibility timeout is three seconds: a busy machine may hold a handler up for two
MUTATIONS = {"PutItem", "UpdateItem", "TransactWriteItems", "PutObject", "DeleteObject", "SendMessageBatch", "PutEvents", "DeleteItem"}


@contextmanager
def moto_pipeline(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LocalPipeline, ObedientReader]]:
    reader = ObedientReader()
    monkeypatch.setattr(entry, "IsolatedReader", lambda **_: reader)
    with local_pipeline(directory, topology=QUICK) as pipeline:
        yield pipeline, reader


def work(pipeline: LocalPipeline, handlers: dict[str, Handler] = HANDLERS, workers: int = 2) -> None:
    Dispatcher(
        pipeline.topology,
        pipeline.ports.queues,
        handlers,
        SystemClock(),
        workers=workers,
        retry_delay=0,
        on_worker_end=entry.release_worker,
    ).run()


def upload(pipeline: LocalPipeline, directory: Path, routes: str, name: str = "a.pdf") -> str:
    path = directory / name
    path.write_bytes(made_up(routes))
    return pipeline.upload(path, Policy())


def outputs(pipeline: LocalPipeline, job: str) -> dict[str, bytes]:
    _, document = pipeline.job(job)
    assert document is not None
    assert conservation_violation(document, list(pipeline.ports.ledger.pages(document.document_id))) == ""
    return {name: pipeline.ports.results.get(document.output_prefix + name) for name in OUTPUTS}


def twice(handler: Handler) -> Handler:
    def handle(event: dict[str, Any], context: Any) -> Any:
        handler(event, context)
        return handler(event, context)

    return handle


def test_every_event_handled_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each handler run twice on each event, two workers side by side: the undisturbed bytes, each OCR page read once a delivery at most."""
    with moto_pipeline(tmp_path, monkeypatch) as (pipeline, reader):
        job = upload(pipeline, tmp_path, "tottoo")
        work(pipeline, {name: twice(handler) for name, handler in HANDLERS.items()})
        assert outputs(pipeline, job) == undisturbed("tottoo")
        assert max(reader.reads.values()) == 1
        assert list(pipeline.ports.inbox.keys("")) == []


def test_an_upload_whose_event_comes_twice_is_taken_in_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The idempotency table holds one completed entry for the upload, however often its event came."""
    with moto_pipeline(tmp_path, monkeypatch) as (pipeline, reader):
        upload(pipeline, tmp_path, "o")
        [event] = pipeline.ports.queues["intake"].receive(1)
        pipeline.ports.queues["intake"].send([event.body, event.body])
        pipeline.ports.queues["intake"].delete(event.receipt)
        work(pipeline, workers=1)  # side by side, both may send the page before either copy is read
        items = client("dynamodb").scan(TableName=pipeline.settings.idempotency_table)["Items"]
        assert [item["status"]["S"] for item in items] == ["COMPLETED"]
        assert reader.reads[1] == 1


class Dying:
    """Dies right after the n-th mutating AWS call of the handlers, once."""

    def __init__(self, at: int) -> None:
        self.at, self.count, self.armed = at, 0, False

    def __call__(self, model: Any, http_response: Any, **_: Any) -> None:
        if self.armed and model.name in MUTATIONS and http_response.status_code < 300:
            self.count += 1
            if self.count == self.at:
                raise NeverReturned

    def guard(self, handler: Handler) -> Handler:
        def handle(event: dict[str, Any], context: Any) -> Any:
            self.armed = True
            try:
                return handler(event, context)
            finally:
                self.armed = False

        return handle


@pytest.mark.parametrize("at", range(1, 25, 3))
def test_a_crash_between_aws_calls_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The sandbox dies after its n-th write (idempotency's own among them); messages come again and the bytes are the undisturbed run's."""
    with moto_pipeline(tmp_path, monkeypatch) as (pipeline, _):
        dying = Dying(at)
        for service in ("dynamodb", "s3", "sqs", "events"):
            client(service).meta.events.register(f"after-call.{service}", dying)  # type: ignore[call-overload]
        job = upload(pipeline, tmp_path, "to")
        work(pipeline, {name: dying.guard(handler) for name, handler in HANDLERS.items()}, workers=1)
        assert dying.count >= at or at > 18
        assert outputs(pipeline, job) == undisturbed("to")


def test_a_poison_page_reaches_the_quarantine_through_the_dead_letter_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handlers' own answers: two batch item failures, then the dead letter, then lambdas/quarantine; the rest is delivered."""
    seen: list[tuple[str, int]] = []

    def watched(name: str, handler: Handler) -> Callable[[dict[str, Any], Any], Any]:
        def handle(event: dict[str, Any], context: Any) -> Any:
            answer = handler(event, context)
            seen.append((name, len(answer["batchItemFailures"])))
            return answer

        return handle

    with moto_pipeline(tmp_path, monkeypatch) as (pipeline, reader):
        reader.deadly = {2}
        job = upload(pipeline, tmp_path, "ooo")
        work(pipeline, {name: watched(name, handler) for name, handler in HANDLERS.items()})
        _, document = pipeline.job(job)
        assert document is not None
        assert (document.state, document.done, document.quarantined) == ("PARTIAL", 2, 1)
        assert seen.count(("recognise_pages", 1)) == 2
        assert seen.count(("quarantine", 0)) == 1
        assert b"Page 2 could not be read" in outputs(pipeline, job)["document.md"]


def test_garbage_in_every_queue_is_never_acknowledged_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Undecodable and future messages burn their receives, reach the dead letters by SQS's own hand, and are kept by the quarantine."""
    with moto_pipeline(tmp_path, monkeypatch) as (pipeline, _):
        for name in ("intake", "pages", "assemble"):
            pipeline.ports.queues[name].send(['{"source":"escriba","detail-type":"Pages Requested","detail":{"schema_version":9}}', "?"])
        work(pipeline)
        letters = list(pipeline.ports.ledger.dead_letters())
        assert sorted(letter.queue for letter in letters) == ["assemble-dlq"] * 2 + ["intake-dlq"] * 2 + ["pages-dlq"] * 2


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text("to", min_size=1, max_size=6),
    st.lists(st.sampled_from(["fine", "fine", "crash", "again", "raise"]), max_size=12),
    st.integers(0, 99),
)
def test_interleavings_on_moto(tmp_path_factory: pytest.TempPathFactory, routes: str, faults: list[str], seed: int) -> None:
    """A smaller number of random interleavings with the real handlers, real adapters and SQS's redrive as moto plays it."""
    directory, chance, plan, met = tmp_path_factory.mktemp("moto"), random.Random(seed), iter(faults), dict[str, int]()

    def disturbed(handler: Handler) -> Handler:
        def handle(event: dict[str, Any], context: Any) -> Any:
            body, fault = event["Records"][0]["body"], next(plan, "fine")
            met[body] = met.get(body, 0) + (fault != "fine")
            fault = fault if met[body] <= 2 else "fine"
            if fault == "raise" or (fault == "crash" and chance.random() < 0.5):
                raise NeverReturned if fault == "crash" else RuntimeError
            answer = handler(event, context)
            if fault == "crash":
                raise NeverReturned
            return handler(event, context) if fault == "again" else answer

        return handle

    with pytest.MonkeyPatch.context() as monkeypatch, moto_pipeline(directory, monkeypatch) as (pipeline, _):
        job = upload(pipeline, directory, routes)
        work(pipeline, {name: disturbed(handler) for name, handler in HANDLERS.items()})
        assert outputs(pipeline, job) == undisturbed(routes)
