"""Whose reading of a page stands: `document.json`, `usage.json` and the table of a run say the same."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from escriba.cli.outcome import Result, deliver_to, print_table
from escriba.errors import EngineUnavailable
from tests.faults.hard_pages import read
from tests.faults.harness import ObedientVision, document_of, pipeline

GONE = EngineUnavailable("the vision backend answered 500")
LIE = "Era uma vez um gato maltes que tocava piano e falava frances com toda a gente da rua. " * 3


@pytest.mark.parametrize(
    ("mood", "third", "table"),
    [(None, "vision", "1 text, 1 OCR, 1 vision"), (GONE, "ocr", "1 text, 2 OCR"), (LIE, "ocr", "1 text, 2 OCR")],
    ids=["believed", "away", "refused"],
)
def test_all_agree(tmp_path: Path, mood: Exception | str | None, third: str, table: str) -> None:
    """A page that a model was asked about is read by it only where its answer was believed."""
    model = ObedientVision()
    model.mood = mood
    with pipeline(vision=model) as made:
        job, rows, document = read(made)
        row = document_of(made, job)
        folder = deliver_to(tmp_path, "hard.pdf", row, made.ports.results, set())
    routes = ["text_layer", "ocr", third]
    assert [page["route"] for page in document["pages"]] == routes
    usage = json.loads((folder / "usage.json").read_bytes())
    assert [each["route"] for each in usage["rows"]] == routes
    with redirect_stdout(io.StringIO()) as told:
        print_table([Result(Path("hard.pdf"), row.state, "", row, tuple(rows), folder)])
    assert f" {table} " in told.getvalue()
