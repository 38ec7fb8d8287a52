"""The words of a searchable PDF lie on their ink: pages drawn, photographed, read by a real engine, written, and measured."""

from __future__ import annotations

import io
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from PIL import Image

from escriba.document import Block, BoundingBox, Line, Page, Word
from escriba.engines.rapidocr import RapidOcr
from escriba.formats.searchable_pdf import write_searchable_pdf
from escriba.policy import Policy
from escriba.ports import Reading
from escriba.sources.opening import open_source

LINES = (
    (8, "Observação: as condições do contrato não incluem a manutenção."),
    (10, "A Conceição pediu três maçãs, pão de trigo e um café."),
    (12, "Cláusula 2. O preço é de 350,00 € por mês, acrescido de IVA."),
    (16, "Póvoa de Varzim, 3 de março de 2026"),
    (24, "Prestação de serviços"),
    (36, "Duração e preço"),
)
WIDTH, HEIGHT, DPI = 420, 300, 200
KINDS = ("level", "turned", "cropped", "leaning")
LEAN = 2.0  # degrees


@cache
def engine() -> RapidOcr:
    return RapidOcr()


def scan(kind: str, only: int | None = None, *, solid: bool = False) -> bytes:
    """A PDF with one page that is a picture of LINES, or of one of them, or of that one's box filled with black."""
    drawn, font = pymupdf.open(), pymupdf.Font("tiro")
    page, y = drawn.new_page(width=WIDTH, height=HEIGHT), 40.0
    for number, (size, text) in enumerate(LINES):
        if solid and only == number:
            box = pymupdf.Rect(40, y - font.ascender * size, 40 + font.text_length(text, size), y - font.descender * size)
            page.draw_rect(box, color=None, fill=0)
        elif only in {None, number}:
            page.insert_font(fontname="own", fontbuffer=font.buffer)
            page.insert_text((40, y), text, fontsize=size, fontname="own")
        y += size * 1.5 + 18
    pixmap = page.get_pixmap(dpi=DPI, colorspace=pymupdf.csGRAY)
    image = Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)
    if kind == "leaning":
        image = image.rotate(LEAN, resample=Image.Resampling.BICUBIC, fillcolor=255)
    if kind == "turned":
        image = image.rotate(90, expand=True)  # stored lying on its side; /Rotate sets it upright
    out = io.BytesIO()
    image.save(out, "PNG")
    document = pymupdf.open()
    page = document.new_page(width=image.width * 72 / DPI, height=image.height * 72 / DPI)
    page.insert_image(page.rect, stream=out.getvalue())
    if kind == "cropped":
        page.set_cropbox(pymupdf.Rect(25, 15, WIDTH - 10, HEIGHT - 5))
    if kind == "turned":
        page.set_rotation(90)
    return bytes(document.tobytes())


def ink(content: bytes) -> pymupdf.Rect:
    """Where the dark pixels are on the page as displayed, in points."""
    with pymupdf.open(stream=content, filetype="pdf") as document:
        pixmap = document[0].get_pixmap(dpi=DPI, colorspace=pymupdf.csGRAY)
    dark = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width) < 128
    ys, xs = np.nonzero(dark.any(axis=1))[0], np.nonzero(dark.any(axis=0))[0]
    return pymupdf.Rect(xs[0], ys[0], xs[-1] + 1, ys[-1] + 1) * (72 / DPI)


def lines_found(path: Path, read: Page) -> list[tuple[str, list[pymupdf.Rect]]]:
    """Text and word boxes, as displayed, of each line that PyMuPDF finds in the written PDF."""
    with pymupdf.open(path) as document:
        page = document[0]
        words = [(w[4], (pymupdf.Rect(w[:4]) * page.rotation_matrix).normalize()) for w in page.get_text("words", sort=False)]
    assert [text for text, _ in words] == [word.text for word in read.words()]
    found = []
    for line in (line for block in read.blocks for line in block.lines):
        own, words = words[: len(line.words)], words[len(line.words) :]
        found.append((" ".join(text for text, _ in own), [box for _, box in own]))
    return found


def page_of(*lines: tuple[tuple[str, float, float, float, float], ...]) -> Page:
    """A page of lines of words with their boxes."""
    made = tuple(Line(BoundingBox(0, 0, WIDTH, HEIGHT), tuple(Word(text, BoundingBox(*box)) for text, *box in line)) for line in lines)
    block = Block(kind="paragraph", box=BoundingBox(0, 0, WIDTH, HEIGHT), lines=made)
    return Page(number=1, width=WIDTH, height=HEIGHT, route="ocr", engine="x", state="DONE", blocks=(block,))


def laid_over(tmp_path: Path, read: Page) -> pymupdf.Page:
    path, out = tmp_path / "scan.pdf", tmp_path / "out.pdf"
    path.write_bytes(scan("level"))
    write_searchable_pdf(open_source(path), path, [read], out)
    return pymupdf.open(out)[0]


def test_between_two_words_there_is_room_for_a_space(tmp_path: Path) -> None:
    """Also where the engine's boxes touch or overlap: viewers go by the room, and would copy one word for two."""
    page = laid_over(
        tmp_path, page_of((("São", 20, 20, 60, 36), ("João,", 60, 20, 100, 36), ("Lda.", 95, 20, 130, 36), ("e", 131, 20, 133, 36)))
    )
    letters = [
        c
        for block in page.get_text("rawdict")["blocks"]
        for line in block.get("lines", ())
        for span in line["spans"]
        for c in span["chars"]
    ]
    rooms = [
        after["bbox"][0] - before["bbox"][2] for before, c, after in zip(letters, letters[1:], letters[2:], strict=False) if c["c"] == " "
    ]
    assert len(rooms) == 3
    assert min(rooms) > 1.2


def test_a_leaning_page_has_leaning_lines(tmp_path: Path) -> None:
    """Each line is one straight line at the words' own slope, its letters as high as they are wide; so viewers keep it together."""
    slope, words, x = math.tan(math.radians(LEAN)), ("Cláusula", "primeira", "do", "contrato", "de", "serviços"), 20.0
    places = []
    for text in words:
        width = pymupdf.Font("tiro").text_length(text, 14)
        places.append((text, x, 60 - (x + width / 2) * slope, x + width))
        x += width + 4
    read = page_of(*[tuple((text, x0, y + down, x1, y + down + 14) for text, x0, y, x1 in places) for down in (0, 40)])
    page = laid_over(tmp_path, read)
    lines = [line for block in page.get_text("dict")["blocks"] for line in block.get("lines", ())]
    assert [math.degrees(math.asin(-line["dir"][1])) for line in lines] == pytest.approx([LEAN] * len(lines), abs=0.1)
    assert page.get_text().splitlines() == [" ".join(words) + " "] * 2
    matrices = [list(map(float, m.split())) for m in re.findall(rb"((?:\S+ ){6})Tm", page.read_contents())]
    assert len(matrices) == 2 * len(words)
    for a, b, c, d, _, _ in matrices:
        assert math.hypot(a, b) == pytest.approx(math.hypot(c, d), rel=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_line_lies_where_it_was_drawn(kind: str, tmp_path: Path) -> None:
    """IoU of each line's box with the drawn one at least 0.6, none of its ink more than a point outside, and each accent right.

    A leaning line is measured by its upright bounds.
    """
    path, out = tmp_path / "scan.pdf", tmp_path / "out.pdf"
    path.write_bytes(scan(kind))
    source = open_source(path)
    shape = source.page(1)
    [reading] = engine().read([shape], Policy())
    assert isinstance(reading, Reading)
    read = Page(
        number=1, width=shape.width, height=shape.height, route="ocr", engine="rapidocr", state="DONE", blocks=reading.blocks
    )  # fmt: skip
    write_searchable_pdf(source, path, [read], out)
    found = lines_found(out, read)
    assert [text for text, _ in found] == [text for _, text in LINES]
    for number, (text, boxes) in enumerate(found):
        whole, known = pymupdf.Rect(boxes[0]), ink(scan(kind, number, solid=True))
        for box in boxes:
            whole |= box
        common = (whole & known).get_area()
        assert common / (whole.get_area() + known.get_area() - common) >= 0.6, (text, whole, known)
        letters = ink(scan(kind, number))
        assert whole.contains(letters + pymupdf.Rect(1, 1, -1, -1)), (text, whole, letters)
