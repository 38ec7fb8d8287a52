"""Hard pages and their vision model: a better reading is taken when it is believed, and whatever happens the CPU reading stands."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from escriba.document import BoundingBox
from escriba.errors import EngineRejected, EngineTimeout, EngineUnavailable
from escriba.identity import policy_key
from escriba.local.dispatcher import NeverReturned
from escriba.messages import VisionRequested, decode, encode
from escriba.policy import parse_policy
from escriba.stages import escalate
from escriba.stages.reconcile import reconcile
from escriba.vision import Region
from tests.faults.hard_pages import counted, deliver, read, rows
from tests.faults.harness import OWN, SCRAWL, SURE, ObedientReader, ObedientVision, document_of, made_up, outputs, pipeline, run


def test_a_hard_page_is_read_by_the_model_and_the_others_are_not() -> None:
    """The page is DONE by the model's name, its words lie where CPU OCR saw them, and only that page was asked about."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        job, found, document = read(made)
        assert [row.state for row in found] == ["DONE", "DONE", "DONE"]
        assert [row.engine for row in found] == ["text_layer", "rapidocr", OWN.model]
        page = document["pages"][2]
        assert (page["route"], page["state"], page["reason"]) == ("vision", "DONE", "")
        assert SCRAWL[0] in outputs(made, job)["document.txt"].decode()
        assert len(model.asked) == 1
        first = page["blocks"][0]["lines"][0]["words"][0]
        assert first[0] == "Fatura"
        assert 10 <= first[1][0] < first[1][2] <= 90
        assert document_of(made, job).current == 1


def test_without_a_backend_a_hard_page_says_so() -> None:
    """Nobody to ask: DEGRADED, with the CPU's text."""
    with pipeline() as made:
        _, found, document = read(made)
        assert (found[2].state, found[2].engine) == ("DEGRADED", "rapidocr")
        assert "no vision backend" in found[2].reason
        assert document["pages"][2]["reason"] == found[2].reason


def test_a_page_that_cannot_be_drawn_keeps_its_cpu_reading() -> None:
    """The reader dies over the picture: that is no failure of the backend, and the page waits for nobody."""
    model = ObedientVision()
    with pipeline(vision=model) as made:

        def render(*_: Any, **__: Any) -> Any:
            raise EngineUnavailable("the reader's process was killed by signal 9")

        made.ports.reader.render = render  # type: ignore[method-assign]
        _, found, _ = read(made, policy='[vision]\nurgency = "batch"')
        assert (found[2].state, found[2].engine) == ("DEGRADED", "rapidocr")
        assert "killed by signal 9" in found[2].reason
        assert not model.asked
        assert counted(made, "VisionFailures") == 0


def test_the_owner_may_do_without() -> None:
    """`vision.enabled = false`: nothing is asked, and nothing is DEGRADED for want of it."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        _, found, _ = read(made, policy="[vision]\nenabled = false")
        assert model.asked == []
        assert "no vision backend" not in found[2].reason


@pytest.mark.parametrize(
    ("mood", "told"),
    [
        (EngineUnavailable("the vision backend answered 500"), "the vision backend answered 500"),
        (EngineTimeout("the vision backend did not answer within 60 s"), "did not answer within 60 s"),
        (EngineRejected("the vision backend refused the picture"), "refused the picture"),
        ("Era uma vez um gato maltes que tocava piano e falava frances com toda a gente da rua. " * 3, "was not believed"),
    ],
)
def test_whatever_the_model_does_the_cpu_reading_stands(mood: Exception | str, told: str) -> None:
    """DEGRADED with the reason, the text as CPU OCR read it, the document DONE; each answer that is not believed is asked for again in another way."""
    model = ObedientVision()
    model.mood = mood
    with pipeline(vision=model) as made:
        job, found, document = read(made)
        assert (found[2].state, found[2].engine) == ("DEGRADED", "rapidocr")
        assert told in found[2].reason
        assert document["pages"][2]["state"] == "DEGRADED"
        assert SURE[0] in outputs(made, job)["document.txt"].decode()
        assert SCRAWL[0] not in outputs(made, job)["document.txt"].decode()
        assert document_of(made, job).state == "DONE"
        assert len(model.asked) == (1 if isinstance(mood, Exception) else 3)
        if isinstance(mood, str):
            assert len({(q.temperature, q.pixels) for q in model.asked}) > 1 or len({q.temperature for q in model.asked}) > 1


def test_a_page_that_may_wait_waits_for_its_model() -> None:
    """A batch page of a backend that is away fails its message, which comes back after a quarter of an hour; no failure is counted against the page."""
    model = ObedientVision()
    model.mood = EngineUnavailable("the vision backend cannot be reached")
    with pipeline(vision=model) as made:
        made.ports.results.put(policy_key("default"), parse_policy('[vision]\nurgency = "batch"').model_dump_json().encode())
        job, handlers = made.upload("hard.pdf", made_up("h")), made.handlers()
        for function, queue in (("split_document", "intake"), ("recognise_pages", "pages")):
            deliver(made, handlers, function, queue)
        for _ in range(5):
            assert deliver(made, handlers, "read_with_api", "vision-api") == 1
            made.ports.clock.sleep(890)
            assert deliver(made, handlers, "read_with_api", "vision-api") == 0
            made.ports.clock.sleep(11)
        [row] = rows(made, job)
        assert (row.state, row.attempts) == ("WAITING", 0)
        assert counted(made, "MessagesFailed") == 0
        model.mood = None
        assert deliver(made, handlers, "read_with_api", "vision-api") == 0
        [row] = rows(made, job)
        assert row.state == "DONE"
        assert len(model.asked) == 6


def test_a_page_waits_no_longer_than_its_policy_says_and_is_made_better_afterwards() -> None:
    """Nobody takes the message: the reconciler lets the CPU reading stand; the model's comes later as revision 2."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        handlers = made.handlers()
        job = made.upload("hard.pdf", made_up("h"))
        for name, queue in (("split_document", "intake"), ("recognise_pages", "pages")):
            deliver(made, handlers, name, queue)
        made.ports.clock.sleep(100)
        reconcile(made.ports)
        assert rows(made, job)[0].state == "WAITING"
        made.ports.clock.sleep(60)
        reconcile(made.ports)
        [row] = rows(made, job)
        assert (row.state, row.reason) == ("DEGRADED", escalate.LATE)
        assert counted(made, "PagesFinished") == 1
        deliver(made, handlers, "assemble_document", "assemble")
        assert document_of(made, job).current == 1
        run(made)
        [row] = rows(made, job)
        assert (row.state, row.engine) == ("DONE", OWN.model)
        assert document_of(made, job).current == 2
        assert counted(made, "PagesFinished") == 1


def test_a_message_that_comes_too_late_frees_its_document_first() -> None:
    """The queue was long: the CPU reading is delivered, then the model is asked all the same; the page is counted once."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        handlers = made.handlers()
        job = made.upload("hard.pdf", made_up("h"))
        for function, queue in (("split_document", "intake"), ("recognise_pages", "pages")):
            deliver(made, handlers, function, queue)
        made.ports.clock.sleep(600)
        deliver(made, handlers, "read_with_api", "vision-api")
        [row] = rows(made, job)
        assert (row.state, row.engine) == ("DONE", OWN.model)
        assert counted(made, "PagesFinished") == 1
        run(made)
        assert document_of(made, job).state == "DONE"


def test_a_message_that_comes_twice_asks_once() -> None:
    """What is decided already is not asked again."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        queue = made.queues["vision-api"]
        whole = queue.send
        queue.send = lambda bodies, **kwargs: whole([*bodies, *bodies], **kwargs)  # type: ignore[method-assign,misc]
        read(made)
        assert len(model.asked) == 1


def test_a_death_between_ledger_and_queue_loses_nothing() -> None:
    """The page is escalated on record, its message was never sent: the page's own message, received again, sends it."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        queue = made.queues["vision-api"]
        whole, died = queue.send, []

        def die_once(bodies: Any, **kwargs: Any) -> None:
            if not died:
                died.append(True)
                raise NeverReturned
            whole(bodies, **kwargs)

        queue.send = die_once  # type: ignore[method-assign]
        job = made.upload("hard.pdf", made_up("h"))
        handlers = made.handlers()
        inner = handlers["recognise_pages"]
        run(made, handlers={**handlers, "recognise_pages": inner})
        [row] = rows(made, job)
        assert row.state == "DONE"
        assert made.ports.reader.reads[1] == 1  # type: ignore[attr-defined]


def test_a_dead_letter_leaves_the_cpu_reading() -> None:
    """A page whose reader dies every time ends DEGRADED with what was read first, never QUARANTINED."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        handlers = made.handlers()

        def die(event: Any, context: Any) -> Any:
            raise NeverReturned

        job = made.upload("hard.pdf", made_up("h"))
        run(made, handlers={**handlers, "read_with_api": die})
        [row] = rows(made, job)
        assert row.state == "DEGRADED"
        assert "no vision reading" in row.reason
        assert document_of(made, job).state == "DONE"


def test_no_page_goes_outside_unless_its_owner_says_so() -> None:
    """A backend outside the account is not asked under the default policy, whatever else is missing."""
    model = ObedientVision()
    outside = OWN.model_copy(update={"external": True})
    with pipeline(vision=model, backends=[outside]) as made:
        _, found, _ = read(made)
        assert model.asked == []
        assert found[2].state == "DEGRADED"
    with pipeline(vision=model, backends=[outside]) as made:
        _, found, _ = read(made, policy="[vision]\nexternal = true")
        assert found[2].state == "DONE"


def test_the_message_reads_back() -> None:
    """What is sent is what is decoded."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        sent: list[str] = []
        queue = made.queues["vision-api"]
        whole = queue.send
        queue.send = lambda bodies, **kwargs: (sent.extend(bodies), whole(bodies, **kwargs))[1]  # type: ignore[method-assign,misc]
        read(made)
        [body] = sent
        message = decode(body)
        assert isinstance(message, VisionRequested)
        assert encode(message) == body


def test_a_larger_model_is_asked_where_the_small_one_is_not_believed() -> None:
    """In the policy's order, each as often as it says; the page says who read it."""
    small, large = ObedientVision(), ObedientVision()
    small.mood = "Era uma vez um gato maltes que tocava piano e falava frances com toda a gente da rua. " * 3
    backends = [OWN, OWN.model_copy(update={"name": "large", "model": "qwen3-vl-8b"})]
    with pipeline(vision=small, backends=backends) as made:
        made.ports = dataclasses.replace(made.ports, vision=lambda backend: small if backend is backends[0] else large)
        _, found, _ = read(made, "h", '[vision]\nmodels = ["lightonocr-2-1b", "qwen3-vl-8b"]\nattempts = 2')
        assert (found[0].state, found[0].engine) == ("DONE", "qwen3-vl-8b")
        assert (len(small.asked), len(large.asked)) == (2, 1)
        assert {question.model for question in large.asked} == {"qwen3-vl-8b"}


def test_only_the_hard_part_is_sent_and_put_back_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crop of the lower lines: the print above stays as OCR read it, the better lines follow, and say who read them."""
    model = ObedientVision()
    model.mood = "\n\n".join(SCRAWL)
    part = Region("handwriting", BoundingBox(0, 33, 100, 75))
    for place in ("recognise", "read_vision"):
        monkeypatch.setattr(f"escriba.stages.{place}.regions", lambda page, policy: (part,) if page.number == 1 else ())
    boxes: list[BoundingBox | None] = []
    render = ObedientReader.render

    def noting(self: ObedientReader, *args: Any, box: BoundingBox | None = None, **kwargs: Any) -> Any:
        boxes.append(box)
        return render(self, *args, box=box, **kwargs)

    monkeypatch.setattr(ObedientReader, "render", noting)
    with pipeline(vision=model) as made:
        _, found, document = read(made, "h", "[vision]\nattempts = 1")
        assert boxes == [part.box]
        [page] = document["pages"]
        told = [" ".join(word[0] for line in block["lines"] for word in line["words"]) for block in page["blocks"]]
        assert told == [*SURE, *SCRAWL]
        assert [block.get("engine", "") for block in page["blocks"]] == ["", "", *[OWN.model] * 3]
        assert (page["route"], page["engine"]) == ("vision", "rapidocr")
        assert found[0].reason == escalate.UNGROUNDED  # nothing in that part was sure enough to confirm it
