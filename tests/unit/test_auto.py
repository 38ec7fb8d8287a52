"""Two engines in one: who reads which page, in which order, and which way up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from escriba.document import Block, BoundingBox, Line, Page, Word
from escriba.engines import auto, load
from escriba.engines.one_page import read_page
from escriba.engines.tesseract import orientation
from escriba.isolation import IsolatedReader
from escriba.layout.guided_order import ordered_by, share_in_columns
from escriba.layout.ink import unread_share
from escriba.layout.spacing import respaced
from escriba.policy import Ocr, Policy
from escriba.ports import Engine

BOX = BoundingBox(0, 0, 1, 1)
POLICY = Policy(languages=("eng",), ocr=Ocr(engine="auto"))
LEFT = (
    "The harbour moved forty thousand crates that year and the clerks wrote each of them into a book by hand before the tide turned "
    "and the ships were gone again with the evening light behind them as they had come"
)
RIGHT = (
    "Nobody asked what was inside as long as the seals were whole and the weights agreed with the papers which the captains carried "
    "in leather cases under their coats against the rain of a northern spring"
)


def image(page: pymupdf.Page, dpi: int = 150) -> np.ndarray:
    pixmap = page.get_pixmap(dpi=dpi)
    return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)


def columns() -> np.ndarray:
    """A page of two columns of running text."""
    page = pymupdf.open().new_page(width=500, height=300)
    for x, text in ((30, LEFT), (265, RIGHT)):
        assert page.insert_textbox((x, 30, x + 205, 280), text, fontsize=12, lineheight=1.3) > 0
    return image(page, 200)


def png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes())


class Shape:
    """A page that is all pixels, at 200 dots per inch."""

    number, flaw = 1, ""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self.height, self.width = (72 * side / 200 for side in pixels.shape[:2])

    def image(self, dpi: int) -> np.ndarray:
        return self._pixels

    def native(self) -> None:
        return None


@cache
def engine(name: str) -> Engine:
    return load(name)


def read(pixels: np.ndarray, name: str = "auto") -> Page:
    page = read_page(1, "ocr", Shape(pixels), engine(name), POLICY)
    assert isinstance(page, Page)
    return page


def text(page: Page) -> str:
    return " ".join(word.text for word in page.words())


def grainy(pixels: np.ndarray) -> np.ndarray:
    """Small, soft and noisy: more than Tesseract is sure of."""
    noise = np.random.default_rng(7).normal(0, 55, pixels.shape)
    return np.clip(cv2.GaussianBlur(pixels, (5, 5), 1.6) * 0.75 + 40 + noise, 0, 255).astype(np.uint8)


def test_a_clean_page_is_tesseracts_and_a_grainy_one_rapidocrs() -> None:
    """Each page says who read it; the columns are read one after the other by both."""
    clean, rough = read(columns()), read(grainy(columns()))
    assert (clean.engine, text(clean)) == ("tesseract", f"{LEFT} {RIGHT}")
    assert rough.engine == "rapidocr"
    words = text(rough).split()
    assert abs(words.index("Nobody") - len(LEFT.split())) <= 3


def test_without_tesseracts_data_rapidocr_reads_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is refused for want of language data; the identity of the reading says who could read."""
    monkeypatch.setattr(auto, "data_folder", lambda _: None)
    reader = IsolatedReader()
    assert set(reader.engine_versions(POLICY)) == {"text_layer", "auto", "rapidocr"}
    monkeypatch.undo()
    assert set(reader.engine_versions(POLICY)) == {"text_layer", "auto", "rapidocr", "tesseract"}


@pytest.mark.parametrize("name", ["auto", "rapidocr", "tesseract"])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_page_on_its_side_or_head_is_turned(name: str, degrees: int) -> None:
    """Whoever reads it; size and boxes are those of the upright page, and what was turned is said."""
    upright = columns()
    lying = np.ascontiguousarray(np.rot90(upright, -degrees // 90))
    page = read(lying, name)
    assert page.turned == 360 - degrees
    assert (page.width > page.height) == (upright.shape[1] > upright.shape[0])
    assert text(page).startswith("The harbour moved forty thousand crates")
    assert all(word.box.x1 <= page.width and word.box.y1 <= page.height for word in page.words())
    assert all(line.box.width > line.box.height for block in page.blocks for line in block.lines)


def test_an_upright_page_is_left_alone() -> None:
    """Doubtful or not: a page that reads best as it stands is not turned."""
    assert read(grainy(columns())).turned == 0
    assert orientation(columns()) == 0


def test_the_searchable_pdf_of_a_turned_page_stands_upright(tmp_path: Path) -> None:
    """Its text is where the picture shows it once the page is turned."""
    path, pages, out = (tmp_path / part for part in ("lying.png", "pages.jsonl", "out.pdf"))
    path.write_bytes(png(np.ascontiguousarray(np.rot90(columns(), -1))))
    with closing(IsolatedReader()) as reader:
        [page] = reader.read(path, POLICY, "ocr", 1, 1, 0)
        pages.write_bytes(msgspec.json.encode(page) + b"\n")
        reader.write_pdf(path, POLICY, pages, out, 1)
    with pymupdf.open(out) as document:
        [made] = document
        assert made.rotation == 270
        assert made.rect.width > made.rect.height
        x0, y0, x1, y1 = next(pymupdf.Rect(word[:4]) * made.rotation_matrix for word in made.get_text("words") if word[4] == "harbour")
    assert x1 - x0 > y1 - y0
    assert x1 < 150
    assert y1 < 100


# --- order by a guide ---------------------------------------------------------------------------------------------


def line(content: str, x0: float, y0: float, width: float = 200) -> Line:
    step = width / len(content.split())
    return Line.of(
        Word(word, BoundingBox(x0 + n * step, y0, x0 + (n + 1) * step - 1, y0 + 10), 0.9) for n, word in enumerate(content.split())
    )


def page_of_columns() -> list[Line]:
    return [
        line(f"{side} column has line {n} of running text", x, 20 + 12 * n) for side, x in (("left", 10), ("right", 260)) for n in range(8)
    ]


def test_columns_are_told_from_tables() -> None:
    """Running text beside something is a column; short cells are not, nor is text with nothing beside it."""
    both = page_of_columns()
    assert share_in_columns(both) == 1.0
    assert share_in_columns(both[:8]) == 0.0
    assert share_in_columns([line("a cell", x, 20 + 12 * n, 60) for x in (10, 110, 210) for n in range(8)]) == 0.0
    assert share_in_columns([]) == 0.0


def test_lines_follow_their_guide_and_are_cut_where_it_cuts() -> None:
    """Lines read across both columns come apart; a line the guide missed stands behind the one above it."""
    guide = page_of_columns()
    across = [Line.of((*one.words, *other.words)) for one, other in zip(guide[:8], guide[8:], strict=True)]
    ordered, known = ordered_by(across, guide)
    assert ([entry.text for entry in ordered], known) == ([entry.text for entry in guide], 1.0)
    ordered, known = ordered_by(across, guide[:3] + guide[4:])
    assert known < 1
    assert sorted(" ".join(entry.text for entry in ordered).split()) == sorted(" ".join(entry.text for entry in guide).split())
    assert [entry.text for entry in ordered][:3] == [entry.text for entry in guide[:3]]


def test_a_stranger_guides_nobody() -> None:
    """A guide that stands elsewhere gives no order: the lines' own boxes do."""
    lines = page_of_columns()
    ordered, known = ordered_by(lines, [line("somewhere else", 900, 900)])
    assert (ordered, known) == (lines, 0.0)


@given(st.integers(0, 10_000))
def test_no_word_is_lost_or_doubled_under_any_guide(seed: int) -> None:
    """Whatever was read, and by whom."""
    chance = random.Random(seed)

    def some() -> Sequence[Line]:
        return [
            line(" ".join(f"w{chance.randrange(99)}" for _ in range(chance.randint(1, 5))), chance.uniform(0, 400), chance.uniform(0, 400))
            for _ in range(chance.randrange(12))
        ]

    lines, guide = some(), some()
    ordered, known = ordered_by(lines, guide)
    assert sorted(w.text for entry in ordered for w in entry.words) == sorted(w.text for entry in lines for w in entry.words)
    assert 0 <= known <= 1


def word(content: str, x0: float, x1: float, confidence: float = 0.95) -> Word:
    return Word(content, BoundingBox(x0, 0, x1, 10), confidence)


@pytest.mark.parametrize(
    ("text", "pieces", "parted"),
    [
        ("GWPharmaceuticals", ["GW", "Pharmaceuticals"], ["GW", "Pharmaceuticals"]),
        ("taprefence:", ["ta", "presence:"], ["ta", "prefence:"]),
        ('"Russians"denotes', ['"Russians"', "denotes"], ['"Russians"', "denotes"]),
        ("1,234.56", ["1,", "234.56"], ["1,234.56"]),
        ("03/0:/2018", ["03/0:", "/2018"], ["03/0:/2018"]),
        ("Thecüite,", ["Thecüite", ","], ["Thecüite,"]),
        ("harbour", ["other", "words"], ["harbour"]),
    ],
)
def test_words_run_together_are_parted_between_letters_only(text: str, pieces: list[str], parted: list[str]) -> None:
    """Where the guide saw a space and both read the same letters; never a number, and nothing is added or lost."""
    whole = Line.of([word(text, 0, 10 * len(text))])
    step = 10 * len(text) / len(pieces)
    guide = [Line.of(word(piece, n * step, (n + 1) * step) for n, piece in enumerate(pieces))]
    [line] = respaced([whole], guide)
    assert [part.text for part in line.words] == parted
    assert "".join(part.text for part in line.words) == text
    assert [part.box.x0 for part in line.words] == sorted(part.box.x0 for part in line.words)
    unsure = [Line.of(replace(part, confidence=0.5) for part in guide[0].words)]
    assert respaced([whole], unsure) == [whole]


def test_unread_ink_shows() -> None:
    """Nothing read: all of it; every line read: none; one column read: about half."""
    gray = cv2.cvtColor(columns(), cv2.COLOR_RGB2GRAY)
    scale = 200 / 72
    words = [word.box for word in read(columns()).words()]
    assert unread_share(gray, [], scale) == 1.0
    assert unread_share(gray, words, scale) < 0.02
    assert unread_share(gray, [box for box in words if box.x1 < 250], scale) == pytest.approx(0.5, abs=0.12)
    assert unread_share(np.full_like(gray, 255), words, scale) == 0.0


def test_a_number_that_only_one_of_two_reads_is_doubted() -> None:
    """RapidOCR is as sure of a wrong digit as of a right one; words, and numbers that Tesseract groups otherwise, keep their confidence."""

    def block(text: str) -> Block:
        return Block("paragraph", BOX, (Line(BOX, tuple(Word(word, BOX, 1.0) for word in text.split())),))

    [found] = auto.doubted([block("Total 112,73 de 2024 no 17 e 9")], [block("Total 112.73 de 2O24 no 17")])
    assert [(word.text, word.confidence) for word in found.lines[0].words if word.confidence != 1.0] == [("2024", 0.98)]
    [alone] = auto.doubted([block("n.º 4471")], [])
    assert [word.confidence for word in alone.lines[0].words] == [1.0, 0.98]
