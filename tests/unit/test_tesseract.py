"""Tesseract finds its language data where it usually lies, says what is missing, and reads what leans or is speckled."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import escriba
from escriba.document import Page
from escriba.engines.tesseract import data_folder
from escriba.errors import EngineMissing
from escriba.layout.skew import carried_back, skew, turned
from escriba.policy import Ocr, Policy
from tests.documents import EXAMPLES, picture

TEXT = "The harbour moved forty thousand crates"
POLICY = Policy(languages=("eng",), ocr=Ocr(engine="tesseract"))
NEEDS_POR = pytest.mark.skipif(
    data_folder(["por", "eng"]) is None, reason="Tesseract's Portuguese data is not installed (tesseract-ocr-por)"
)


def words(page: Page) -> str:
    return " ".join(word.text for word in page.words())


def test_data_is_found_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TESSDATA_PREFIX, with or without its last folder, comes first; all languages must lie together."""
    (tmp_path / "tessdata").mkdir()
    (tmp_path / "tessdata" / "xyz.traineddata").touch()
    assert data_folder(["xyz"]) is None
    for named in (tmp_path, tmp_path / "tessdata"):
        monkeypatch.setenv("TESSDATA_PREFIX", str(named))
        assert data_folder(["xyz"]) == tmp_path / "tessdata"
    assert data_folder(["xyz", "eng"]) is None


def test_a_missing_language_is_named_with_the_way_out() -> None:
    """The document is rejected at the door, and tried again on its next upload."""
    with pytest.raises(EngineMissing, match=r"no data for xyz; install it \(Debian: tesseract-ocr-xyz\).*TESSDATA_PREFIX") as raised:
        escriba.read(picture(TEXT), policy=Policy(languages=("eng", "xyz"), ocr=Ocr(engine="tesseract")))
    assert raised.value.surroundings


def leaning(degrees: float, speckles: bool) -> bytes:
    image = cv2.imdecode(np.frombuffer(picture(TEXT, size=(1100, 700)), np.uint8), cv2.IMREAD_GRAYSCALE)
    image = turned(image, degrees).pixels
    if speckles:
        chance = np.random.default_rng(3).random(image.shape)
        image[chance < 0.03] = 0
    return bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.mark.parametrize(("degrees", "speckles"), [(0.0, False), (-4.0, False), (3.0, False), (0.0, True)])
def test_print_is_read_straight_leaning_or_speckled(degrees: float, speckles: bool) -> None:
    """Every word comes out, and its box lies where the word stands on the page as it is, not as it was turned."""
    [page] = escriba.read(leaning(degrees, speckles), policy=POLICY).pages
    assert words(page) == TEXT
    centres = [((word.box.x0 + word.box.x1) / 2, (word.box.y0 + word.box.y1) / 2) for word in page.words()]
    (x0, y0), (x1, y1) = centres[0], centres[-1]
    assert np.degrees(np.arctan2(y1 - y0, x1 - x0)) == pytest.approx(degrees, abs=0.8)


@pytest.mark.parametrize("degrees", [-5.0, -1.2, 0.0, 2.4, 6.0])
def test_skew_is_measured(degrees: float) -> None:
    """To two tenths of a degree, either way."""
    gray = cv2.imdecode(np.frombuffer(picture(TEXT, size=(1100, 700)), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert skew(turned(gray, degrees).pixels) == pytest.approx(-degrees, abs=0.3)


def test_boxes_are_carried_back() -> None:
    """A box on the turned picture covers, carried back, the point it was turned from."""
    back = turned(np.full((100, 200), 255, np.uint8), 90).back
    assert carried_back((95.0, 45.0, 105.0, 55.0), back) == pytest.approx((95, 45, 105, 55), abs=1)


@NEEDS_POR
def test_the_portuguese_scan_is_read_with_its_accents() -> None:
    """Our own skewed, noisy scan, word for word in its first lines."""
    [page] = escriba.read(EXAMPLES / "digitalizacao.pdf", policy=Policy(ocr=Ocr(engine="tesseract"))).pages
    assert words(page).startswith("CONTRATO DE PRESTAÇÃO DE SERVIÇOS Entre a Padaria São João, Lda., com sede na Rua das Flores, 12,")
