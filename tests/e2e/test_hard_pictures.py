"""`escriba run` on what is hard to see and what is damaged, as a person meets it: nothing passes for a blank page, and what is delivered opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pymupdf
import pytest

from tests.documents import EXAMPLES
from tests.e2e.test_vision import pages, run
from tests.engines.fake_server import Says, fake
from tests.unit.test_ink import TEXT, faint, grainy, paper, written


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A page out of focus on grey paper, a faint and noisy one, and an empty one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    drawn: dict[str, np.ndarray[Any, Any]] = {
        "blurred": written(235, "even", "strong", 8),
        "faint": faint(),
        "empty": grainy(paper(235, "shadow at the edge"), "strong"),
    }
    for name, pixels in drawn.items():
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return folder


def test_what_a_person_can_see_is_no_blank_page(tmp_path: Path, pictures: Path) -> None:
    """They are read by a vision model, searchable PDF and all; the empty page is asked about by nobody."""
    with fake(*[Says("\n".join(TEXT))] * 6) as server:
        done = run(tmp_path / "seen", pictures, "--vision", server.base_url, "--model", "generic")
    assert done.returncode == 0, done.stderr
    found = pages(tmp_path / "seen")
    assert {name: page["route"] for name, page in found.items()} == {"blurred": "vision", "faint": "vision", "empty": "ocr"}
    for name in ("blurred", "faint"):
        with pymupdf.open(tmp_path / "seen" / name / "document.pdf") as document:
            assert "QX-90817-B" in document[0].get_text()


def test_a_pdf_that_breaks_off_comes_back_as_one_that_opens(tmp_path: Path) -> None:
    """Page by page, the lost one with its notice; no program stumbles over what is delivered."""
    content = (EXAMPLES / "report.pdf").read_bytes()
    (tmp_path / "report.pdf").write_bytes(content[: len(content) // 2])
    done = run(tmp_path / "out", tmp_path / "report.pdf")
    told = json.loads(done.stdout)
    assert (told["state"], told["quarantined"]) == ("PARTIAL", 1)
    with pymupdf.open(tmp_path / "out" / "report" / "document.pdf") as document:
        assert not document.is_repaired
        assert ["damaged" in document.load_page(number).get_text() for number in range(document.page_count)] == [False, True]
