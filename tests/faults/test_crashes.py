"""Whatever dies, and whenever it dies, every page is accounted for and the outputs are the undisturbed run's."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from escriba.document import Page
from escriba.identity import job_id, policy_key
from escriba.ledger import Outcome
from escriba.messages import DocumentCompleted, DocumentReady, ObjectCreated, PagesRequested, encode, object_created
from escriba.policy import Policy
from escriba.stages.split import accept
from tests.faults.harness import (
    Crash,
    Fragile,
    assert_conserved,
    made_up,
    outputs,
    pipeline,
    reader_of,
    run,
    undisturbed,
)

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


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_in_random_order_in_parallel(seed: int) -> None:
    """Every message may come twice, in any order, to four workers at once."""
    with pipeline(disorder=random.Random(seed)) as made:
        job = made.upload("a.pdf", made_up("tttotot" * 20))
        run(made, workers=4)
        assert_conserved(made)
        assert outputs(made, job) == undisturbed("tttotot" * 20)


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


def test_the_same_bytes_under_two_names_are_read_once() -> None:
    """Two uploads, one reading, two jobs that both find it."""
    with pipeline() as made:
        one = made.upload("a.pdf", made_up("oo"))
        run(made)
        two = made.upload("b.pdf", made_up("oo"))
        run(made)
        assert reader_of(made).reads.total() == 2
        assert one != two
        assert outputs(made, one) == outputs(made, two)
        completed = [m for m in made.ports.events.published if isinstance(m, DocumentCompleted)]  # type: ignore[attr-defined]
        assert len(completed) == 2


def test_another_tenant_shares_nothing() -> None:
    """The same bytes for another tenant are another reading."""
    with pipeline() as made:
        one, two = (made.upload("a.pdf", made_up("o"), tenant=tenant) for tenant in ("acme", "umbrella"))
        run(made)
        assert made.result(one)[1] != made.result(two)[1]
        assert reader_of(made).reads[1] == 2


def test_the_same_name_with_new_bytes_is_another_document() -> None:
    """Identity is the content."""
    with pipeline() as made:
        one = made.upload("a.pdf", made_up("o"))
        two = made.upload("a.pdf", made_up("oo"))
        run(made)
        first, second = made.result(one)[1], made.result(two)[1]
        assert first is not None
        assert second is not None
        assert (first.total, second.total) == (1, 2)


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


def test_a_document_that_cannot_be_opened_is_rejected_with_its_reason() -> None:
    """REJECTED, nothing delivered, the event says why; the inbox is empty and the original kept."""
    with pipeline() as made:
        job = made.upload("a.pdf", b"garbage")
        run(made)
        _, document = made.result(job)
        assert document is not None
        assert (document.state, document.code, document.reason) == ("REJECTED", "corrupt", "the file is not a made-up document")
        [completed] = [m for m in made.ports.events.published if isinstance(m, DocumentCompleted)]  # type: ignore[attr-defined]
        assert completed.reason == document.reason
        assert list(made.ports.inbox.keys("")) == []
        assert made.ports.results.get(document.original_key) == b"garbage"


@pytest.mark.parametrize(
    ("key", "code"), [("inbox/a.pdf", "unsupported"), ("inbox/local/missing/a.pdf", "unknown_policy"), ("elsewhere/x/y/z", "unsupported")]
)
def test_uploads_rejected_at_the_door_say_why(key: str, code: str) -> None:
    """A key without tenant and policy, or with an unknown policy, gives a job with a reason and no document; the upload stays."""
    with pipeline() as made:
        version = made.ports.inbox.put(key, b"x")
        made.queues["intake"].send([object_created("inbox", key, version, 1, made.ports.clock.now())])
        run(made)
        job, document = made.result(job_id("inbox", key, version))
        assert document is None
        assert job.code == code
        assert job.reason
        assert list(made.ports.inbox.keys("")) == [key]


def test_a_deployed_policy_goes_before_one_in_the_bucket() -> None:
    """What was reviewed and deployed is what reads; the bucket answers for names that the deployment does not hold."""
    deployed, stored = Policy(name="both", languages=("eng",)), Policy(name="both", languages=("por",))
    with pipeline() as made:
        made.ports.results.put(policy_key("both"), stored.model_dump_json().encode())
        made.ports.results.put(policy_key("stored"), stored.model_dump_json().encode())
        ports = replace(made.ports, policies={"both": deployed})
        for name, languages in (("both", ("eng",)), ("stored", ("por",))):
            version = ports.inbox.put(f"inbox/t/{name}/a.pdf", made_up("t", seed=name))
            event = object_created("inbox", f"inbox/t/{name}/a.pdf", version, 1, ports.clock.now())
            identity = accept(ObjectCreated.model_validate(json.loads(event)["detail"]), ports)
            assert Policy.model_validate_json(ports.ledger.document(identity).policy).languages == languages


def test_a_document_whose_splitting_always_fails_is_rejected_by_the_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three deliveries the upload's dead letter ends the document with the last failure as its reason."""
    from escriba.errors import EngineTimeout

    with pipeline() as made:

        def hang(*_: object) -> Page:
            raise EngineTimeout("the reader did not answer within 60 s")

        monkeypatch.setattr(reader_of(made), "inspect", hang)
        job = made.upload("a.pdf", made_up("oo"))
        run(made)
        _, document = made.result(job)
        assert document is not None
        assert (document.state, document.code) == ("REJECTED", "failed")
        assert "did not answer within 60 s" in document.reason


def test_a_failure_of_another_generation_is_ignored_by_the_consumer() -> None:
    """A message of an older generation is dropped: a redrive has taken over."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("o"))
        run(made)
        _, document = made.result(job)
        assert document is not None
        before = made.ports.ledger.complete(document.document_id, [Outcome(first=1, last=1, generation=0, state="QUARANTINED")])
        assert before == document


def test_a_long_document_is_planned_in_several_invocations() -> None:
    """1,203 pages are planned 500 at a time, and all arrive."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up("t" * 1203))
        run(made)
        assert_conserved(made)
        _, document = made.result(job)
        assert document is not None
        assert (document.total, document.done) == (1203, 1203)
        assert outputs(made, job)["document.txt"].count(b"page-") == 1203
