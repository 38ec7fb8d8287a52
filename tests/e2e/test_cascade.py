"""`escriba eval cascade` as a person uses it: pages are read by the real pipeline, truths are served, and the curves are there to look at."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from PIL import Image

from escriba.document import Document
from escriba.escalation import expected_error, regions
from escriba.policy import Policy
from tests.documents import DATA, picture
from tests.e2e.test_run import escriba

CLEAN = {"harbour": "The harbour was quiet", "citrus": "Citrus and grain", "anchor": "Rope anchor signal", "quay": "North quay closed"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four pages that are read well and two of which only scraps can be read, with the text that each was drawn from."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, text in CLEAN.items():
        (folder / f"{name}.png").write_bytes(picture(text))
        (folder / f"{name}.gt.txt").write_text(text)
    for name, reach in (("storm", 9), ("rain", 6)):
        washed = "Nobody can read what the rain has washed away"
        ink = np.asarray(Image.open(io.BytesIO(picture(washed, size=(900, 200)))).convert("L"), np.float32)
        smeared = cv2.blur(ink, (2 * reach + 1, 1)) * 0.8 + 30 + np.random.default_rng(0).normal(0, 20, ink.shape)
        Image.fromarray(np.clip(smeared, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
        (folder / f"{name}.gt.txt").write_text(washed)
    (folder / "manifest.csv").write_text("path,kind\n" + "".join(f"{name}.png,rain: drawn\n" for name in ("storm", "rain")))
    return folder


def test_the_cascade_is_measured_on_anybodys_pages(data: Path, tmp_path: Path) -> None:
    """Hard pages go first, the truth that comes back by HTTP mends them, and the second run reads nothing again."""
    out = tmp_path / "out"
    command = ("eval", "cascade", "--data", data, "--out", out, "--workers", 1)
    done = escriba(*command)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 140
    for words in ("half: pages sent", "rain (", "of the way from random order to the oracle's (CER)", "Thresholds", "cascade.svg"):
        assert words in done.stdout
    report = json.loads((out / "cascade.json").read_text())
    assert len(report["pages"]) == 6
    pages = {Path(page["name"]).stem: page for page in report["pages"]}
    assert min(pages[name]["expected"] for name in ("storm", "rain")) > max(pages[name]["expected"] for name in CLEAN)
    assert min(pages[name]["cer"] for name in ("storm", "rain")) > 0.05
    assert all((page["cer_after"], page["f1_after"]) == (0, 1) for page in report["pages"])
    assert {page["half"] for page in report["pages"]} == set(report["halves"])
    assert (out / "cascade.csv").read_text().startswith("half,order,pages,pixels,cer,f1\n")
    assert (out / "cascade.svg").read_text().startswith("<svg")

    before = (out / "readings" / ".escriba" / "telemetry.jsonl").read_text().count('"PagesFinished"')
    again = escriba(*command, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["halves"] == report["halves"]
    assert (out / "readings" / ".escriba" / "telemetry.jsonl").read_text().count('"PagesFinished"') == before > 0

    fitted = escriba(*command, "--fit")
    assert fitted.returncode == 0, fitted.stderr
    assert set(json.loads(fitted.stdout[: fitted.stdout.index("}") + 1])) == {"unsure", "across", "unread"}
    assert "fitted on 2 pages of the tuning half" in fitted.stdout


@pytest.mark.no_cover
def test_what_cannot_be_measured_is_said_in_a_sentence(tmp_path: Path) -> None:
    """No folder; a folder whose documents need no OCR; a policy that is none."""
    (tmp_path / "empty").mkdir()
    for wrong, said in {
        ("--data", tmp_path / "nowhere"): "there is no folder",
        ("--data", tmp_path / "empty"): "no truths in",
        ("--data", tmp_path / "empty", "--policy", tmp_path / "none.toml"): "cannot read the policy file",
    }.items():
        done = escriba("eval", "cascade", *wrong, "--out", tmp_path / "out")
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.no_cover
@pytest.mark.data
@pytest.mark.slow
def test_a_letter_by_hand_goes_whole_and_a_printed_page_stays(tmp_path: Path) -> None:
    """On two of the development documents, one of each kind."""
    names = {"hooker_JDH_2_16_78_003.jpg": "handwriting", "fondue_en_Turn_Screw_pdf_page_85.png": ""}
    done = escriba("run", *(DATA / "scans" / name for name in names), "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode in {0, 1}, done.stderr
    for name, cause in names.items():
        document = msgspec.json.decode((tmp_path / "out" / Path(name).stem / "document.json").read_bytes(), type=Document)
        found = regions(document.pages[0], Policy())
        assert [(region.cause, region.box) for region in found] == ([(cause, None)] if cause else [])
        assert (expected_error(document.pages[0]) > 0.3) == bool(cause)
