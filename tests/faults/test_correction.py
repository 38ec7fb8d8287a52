"""Words in doubt and the language model that may correct them: asked only where the policy wants it, and whatever it does, the page stays DONE."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from escriba.errors import EngineRejected, EngineTimeout, EngineUnavailable
from escriba.identity import policy_key
from escriba.local.dispatcher import NeverReturned
from escriba.policy import parse_policy
from escriba.stages.correct_text import PROMPT_VERSION
from escriba.stages.reconcile import reconcile
from escriba.stages.split import vision_versions
from tests.faults.hard_pages import counted, deliver, read, rows
from tests.faults.harness import DOUBTFUL, OWN, ObedientVision, doubtful_page, made_up, outputs, pipeline, run

ON = "[vision]\ncorrection = true"
ABLE = OWN.model_copy(update={"model": "qwen3-vl-8b"})
READ = [text.replace("~", "") for text in DOUBTFUL]
RIGHT = [READ[0], "A mercadoria foi conferida e entregue ontem sem qualquer reparo", READ[2]]


def answer(lines: list[str]) -> str:
    return "\n".join(f"{number}: {line}" for number, line in enumerate(lines, 1))


def able(mood: Exception | str | None = None) -> ObedientVision:
    model = ObedientVision()
    model.mood = answer(RIGHT) if mood is None else mood
    return model


def test_nothing_is_asked_unless_the_policy_wants_it() -> None:
    """By default the words stand as they were read, and the page says nothing of corrections."""
    model = able()
    with pipeline(vision=model, backends=[ABLE]) as made:
        _, found, document = read(made, "d")
    assert model.asked == []
    assert found[0].state == "DONE"
    assert not {"corrections", "corrected_by"} & set(document["pages"][0])


def test_another_prompt_makes_another_reading_where_one_is_asked() -> None:
    """The prompt's version is part of the reading's identity, and only where somebody may be asked under this policy."""
    with pipeline(vision=able(), backends=[ABLE]) as made:
        assert vision_versions(parse_policy(ON), made.ports)["correction"] == PROMPT_VERSION
        assert "correction" not in vision_versions(parse_policy(""), made.ports)
        assert "correction" not in vision_versions(parse_policy(f"{ON}\nenabled = false"), made.ports)


def test_words_in_doubt_are_corrected_and_what_was_changed_is_kept() -> None:
    """One question without a picture; boxes and confidences are CPU OCR's; the page is its engine's, and says who corrected it."""
    model = able()
    with pipeline(vision=model, backends=[ABLE]) as made:
        job, found, document = read(made, "tod", ON)
        page, text = document["pages"][2], outputs(made, job)["document.txt"].decode()
        figures = [counted(made, name) for name in ("CorrectionsAsked", "WordsCorrected", "CorrectionsRefused", "PagesFinished")]
    [question] = model.asked
    assert (question.image, question.pixels) == (b"", 0)
    assert answer(READ) in question.prompt
    assert "2: conferlda" in question.prompt
    assert 0 < question.max_tokens <= 4096
    assert (found[2].state, found[2].engine, found[2].reason) == ("DONE", "rapidocr", "")
    assert (page["route"], page["engine"], page["corrected_by"]) == ("ocr", "rapidocr", "qwen3-vl-8b")
    assert "\n".join(RIGHT[1:2]) in text
    before = [word for block in doubtful_page(3).blocks for word in block.lines[0].words]
    after = [word for block in page["blocks"] for word in block["lines"][0]["words"]]
    assert [(w.box.x0, w.box.y1, w.confidence) for w in before] == [(w[1][0], w[1][3], w[2]) for w in after]
    [change] = page["corrections"]
    assert (change["before"], change["after"]) == ("conferlda", "conferida")
    assert change["box"] == next(word[1] for word in after if word[0] == "conferida")
    assert figures == [1, 1, 0, 3]


@pytest.mark.parametrize(
    "lines",
    [
        [READ[0].replace("12/03", "13/03"), *RIGHT[1:]],
        [READ[0].replace("abril", "maio"), *RIGHT[1:]],
        [READ[0], RIGHT[1].replace("ontem", "hoje"), READ[2]],
        [READ[0], RIGHT[1] + " e foi pago", READ[2]],
        RIGHT[:2],
        ["Com certeza! Segue o texto corrigido:", *RIGHT],
    ],
    ids=["date", "month", "sure word", "added", "line missing", "talk"],
)
def test_of_an_answer_that_strays_nothing_is_taken(lines: list[str]) -> None:
    """Not even what is right in it: the text stands, the page is DONE without a reason, and the refusal is counted."""
    model = able(answer(lines))
    with pipeline(vision=model, backends=[ABLE]) as made:
        job, found, document = read(made, "d", ON)
        assert (found[0].state, found[0].reason) == ("DONE", "")
        assert outputs(made, job)["document.txt"].decode().split() == " ".join(READ).split()
        assert "corrections" not in document["pages"][0]
        assert (len(model.asked), counted(made, "CorrectionsRefused"), counted(made, "PagesDegraded")) == (1, 1, 0)


@pytest.mark.parametrize(
    "mood",
    [
        EngineUnavailable("the vision backend cannot be reached"),
        EngineTimeout("the vision backend did not answer within 60 s"),
        EngineRejected("the vision backend refuses this image or prompt"),
    ],
)
@pytest.mark.parametrize("urgency", ["interactive", "batch"])
def test_a_backend_that_is_away_costs_the_page_nothing(mood: Exception, urgency: str) -> None:
    """DONE as it was read at the first failure: what is optional is not waited for, in no urgency."""
    model = able(mood)
    with pipeline(vision=model, backends=[ABLE]) as made:
        began = made.ports.clock.now()
        _, found, document = read(made, "d", f'{ON}\nurgency = "{urgency}"')
        assert (found[0].state, found[0].reason, document["pages"][0]["state"]) == ("DONE", "", "DONE")
        assert len(model.asked) == 1
        assert (made.ports.clock.now() - began).total_seconds() < 120


def test_a_page_whose_message_nobody_takes_ends_as_it_was_read() -> None:
    """The reconciler ends the wait; the message that comes after all changes nothing, and asks nobody."""
    model = able()
    with pipeline(vision=model, backends=[ABLE]) as made:
        made.ports.results.put(policy_key("default"), parse_policy(ON).model_dump_json().encode())
        handlers, job = made.handlers(), made.upload("doubtful.pdf", made_up("d"))
        for function, queue in (("split_document", "intake"), ("recognise_pages", "pages")):
            deliver(made, handlers, function, queue)
        assert [row.state for row in rows(made, job)] == ["WAITING"]
        made.ports.clock.sleep(160)
        reconcile(made.ports)
        assert [(row.state, row.reason) for row in rows(made, job)] == [("DONE", "")]
        run(made)
        assert model.asked == []


def test_a_message_that_comes_late_asks_nobody() -> None:
    """The page has waited as long as its policy says, and the message is the first to notice."""
    model = able()
    with pipeline(vision=model, backends=[ABLE]) as made:
        made.ports.results.put(policy_key("default"), parse_policy(ON).model_dump_json().encode())
        handlers, job = made.handlers(), made.upload("doubtful.pdf", made_up("d"))
        for function, queue in (("split_document", "intake"), ("recognise_pages", "pages")):
            deliver(made, handlers, function, queue)
        made.ports.clock.sleep(125)
        deliver(made, handlers, "read_with_api", "vision-api")
        assert [(row.state, row.reason) for row in rows(made, job)] == [("DONE", "")]
        assert model.asked == []


def test_a_dead_letter_leaves_the_page_as_it_was_read() -> None:
    """A process that dies of it every time: DONE all the same."""

    def die(event: Any, context: Any) -> Any:
        raise NeverReturned

    with pipeline(vision=able(), backends=[ABLE]) as made:
        made.ports.results.put(policy_key("default"), parse_policy(ON).model_dump_json().encode())
        job = made.upload("doubtful.pdf", made_up("d"))
        run(made, handlers={**made.handlers(), "read_with_api": die})
        assert [(row.state, row.reason) for row in rows(made, job)] == [("DONE", "")]


def test_the_next_backend_is_asked_where_one_is_away_and_none_that_cannot_correct() -> None:
    """A model that was trained on pictures alone is never asked about text; nor is one outside the account."""
    model = able()
    asked = [
        OWN,
        ABLE.model_copy(update={"name": "outside", "external": True}),
        ABLE.model_copy(update={"name": "second", "seconds_per_page": 20}),
    ]
    with pipeline(vision=model, backends=asked[:2]) as made:
        _, found, _ = read(made, "d", ON)
        assert (found[0].state, model.asked) == ("DONE", [])
    with pipeline(vision=model, backends=[*asked, ABLE]) as made:
        away = able(EngineUnavailable("the vision backend cannot be reached"))
        made.ports = replace(made.ports, vision=lambda backend: away if backend.name == "own" else model)
        _, _, document = read(made, "d", ON)
        assert (len(away.asked), len(model.asked)) == (1, 1)
        assert document["pages"][0]["corrections"]


def test_a_hard_page_is_read_from_its_picture_all_the_same() -> None:
    """The switch changes nothing for it."""
    model = ObedientVision()
    with pipeline(vision=model) as made:
        _, found, _ = read(made, "h", ON)
    assert (found[0].state, found[0].engine) == ("DONE", OWN.model)
    assert [bool(question.image) for question in model.asked] == [True]
    with pipeline() as made:
        _, found, _ = read(made, "hd", ON)
    assert [row.state for row in found] == ["DEGRADED", "DONE"]
