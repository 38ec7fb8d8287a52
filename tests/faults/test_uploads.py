"""What an upload comes to: which bytes are one document, how long ones are planned, and what is said of those that cannot be read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from escriba.document import Page
from escriba.identity import job_id, policy_key
from escriba.messages import DocumentCompleted, ObjectCreated, object_created
from escriba.policy import Policy
from escriba.stages.split import accept
from tests.faults.harness import assert_conserved, made_up, outputs, pipeline, reader_of, run


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
    from escriba.messages import object_created

    with pipeline() as made:
        version = made.ports.inbox.put(key, b"x")
        made.queues["intake"].send([object_created("inbox", key, version, 1, made.ports.clock.now())])
        run(made)
        job, document = made.result(job_id("inbox", key, version))
        assert document is None
        assert job.code == code
        assert job.reason
        assert list(made.ports.inbox.keys("")) == [key]


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
