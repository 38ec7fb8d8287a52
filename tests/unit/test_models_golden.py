"""Each model's parser on answers of its documented form (tests/golden/models)."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from escriba.models import Unparsable, catalogue, parse
from tests.documents import ROOT

GOLDEN = ROOT / "tests" / "golden" / "models"
ANSWERS = sorted(GOLDEN.glob("*.answer"))
SIZE = (1000, 1400)


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_an_answer_of_its_form_is_understood(path: Path) -> None:
    """Every piece with its kind, its text, its table and its place, in order; scripts and attributes are gone."""
    entry = catalogue()[path.stem.rpartition(".")[0]]
    parsed = parse(entry.parser, path.read_text("utf-8"), SIZE)
    assert json.loads(msgspec.json.encode(parsed)) == json.loads(path.with_suffix(".json").read_text("utf-8"))


def test_every_model_has_its_golden_files() -> None:
    """But the one that stands for all others."""
    assert {path.stem.rpartition(".")[0] for path in ANSWERS} == set(catalogue()) - {"generic"}


@pytest.mark.parametrize(
    "path", [path for path in ANSWERS if len(path.read_text("utf-8")) > 100 and "blank" not in path.name], ids=lambda path: path.stem
)
def test_an_answer_that_breaks_off_within_its_structure_is_refused(path: Path) -> None:
    """Cut after the middle of its table, its JSON, its fence or its DocTags."""
    entry = catalogue()[path.stem.rpartition(".")[0]]
    text = path.read_text("utf-8")
    at = text.rfind("</table>") if "<table" in text else text.rfind("</otsl>") if "<otsl>" in text else len(text) * 2 // 3
    if entry.parser in {"markdown", "olmocr"} and "<table" not in text and not text.startswith("```"):
        pytest.skip("Markdown without structure shows no end; the finish reason does")
    with pytest.raises(Unparsable):
        parse(entry.parser, text[:at], SIZE)
