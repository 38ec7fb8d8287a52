"""Writes `document.pdf`: the original's pages with what OCR read laid over them as invisible text. Runs in the child process.

Nothing that acts survives: scripts, launches, attachments and automatic actions are renamed to something no viewer knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import pymupdf

from escriba.document import BoundingBox, Line, Page
from escriba.errors import Corrupt, PermanentError
from escriba.sources.opening import Source
from escriba.sources.pdf import BROKEN

LOST = "This page of the original is damaged and could not be written again."
_UNWRITABLE = "the PDF is too broken to be written again"
_FONT = "EscribaText"
_INVISIBLE = 3  # PDF's text rendering mode
_LEAST_GAP = 0.15  # between words, of a letter's size
_WIDER, _CLOSER = 0.08, 0.15  # between letters, of a letter's size: viewers see a space where there is more, lose one where there is less
_THIN = 0.5  # points
_LONG = 10  # heights; over less, one tall letter would make a line lean
_LEVEL, _STEEP = math.radians(0.5), math.radians(15)
_ACTING = re.compile(
    r"/(JavaScript|JS|Launch|OpenAction|AA|EmbeddedFiles?|EF|AF|Collection|RichMedia|SubmitForm|ImportData)(?![\w.#-])(\s*\d+ \d+ R)?"
)
_FIXED = {"creationDate": "D:20000101000000Z", "modDate": "D:20000101000000Z", "producer": "Escriba", "creator": "Escriba"}


def write_searchable_pdf(source: Source, path: Path, read: Iterable[Page], out: Path) -> None:
    """Write the PDF of the file at `path`, opened as `source`, to `out`; `read` are the pages whose words are to lie over it.

    Only pages that hold no text themselves get any; in place of a page that cannot be written again stands one that says so, and every page of
    what was written opens. The same input gives the same bytes. Raises `Corrupt`.
    """
    try:
        with _original(source, path) as document:
            for page in read:
                _lay_over(document, page)
            _save(document, out)
        # MuPDF writes what it repaired for itself as it stood in the file: such pages open before, and not after.
        if not all(_opening(out, source.page_count)):
            _replace_lost(out, source.page_count)
            if not all(_opening(out, source.page_count)):
                raise Corrupt(_UNWRITABLE)
    except BROKEN as error:
        raise Corrupt(_UNWRITABLE) from error


def _original(source: Source, path: Path) -> Any:
    if source.media_type == "application/pdf":
        return pymupdf.open(path, filetype="pdf")
    document = pymupdf.open()
    for number in range(1, source.page_count + 1):
        try:
            shape, picture = source.page(number), source.picture(number)
        except PermanentError:
            _say_lost(document)
            continue
        page = document.new_page(width=shape.width, height=shape.height)
        page.insert_image(page.rect, stream=picture)
    return document


def _save(document: Any, out: Path) -> None:
    """Write it disarmed, and without what varies."""
    for xref in range(1, document.xref_length()):
        _disarm(document, xref)
    document.set_metadata(_FIXED)
    document.del_xml_metadata()
    document.xref_set_key(-1, "ID", "null")
    # MuPDF's own slip, in files it made: the place is not for that, and checkers of PDF/A stumble over it.
    document.xref_set_key(document.pdf_catalog(), "Info", "null")
    document.save(out, garbage=2, deflate=True, no_new_id=True)


def _opening(path: Path, pages: int) -> list[bool]:
    """Of each of so many pages whether it opens in the file that was written."""
    with pymupdf.open(path, filetype="pdf") as document:
        return [_opens(document, number) for number in range(pages)]


def _opens(document: Any, number: int) -> bool:
    try:
        return not document.load_page(number).rect.is_empty
    except BROKEN:
        return False


def _replace_lost(path: Path, pages: int) -> None:
    """Write the file anew with the pages that open, and one that says so in place of each of the others."""
    with pymupdf.open(stream=path.read_bytes(), filetype="pdf") as written, pymupdf.open() as whole:
        for number in range(pages):
            try:
                if _opens(written, number):
                    whole.insert_pdf(written, from_page=number, to_page=number)
            except BROKEN:
                pass
            if whole.page_count == number:
                _say_lost(whole)
        _save(whole, path)


def _say_lost(document: Any) -> None:
    document.new_page().insert_text((60, 80), LOST)


def _lay_over(document: Any, read: Page) -> None:
    lines = [line for block in read.blocks for line in block.lines if line.words]
    if not lines and not read.turned:
        return  # also a page that is lost, which would not open
    page = document[read.number - 1]
    if read.turned:
        # Upright for whoever opens it too; and the boxes are those of the turned page.
        page.set_rotation((page.rotation + read.turned) % 360)
    if not lines or page.get_text("text").strip():
        return
    page.wrap_contents()
    page.insert_font(fontname=_FONT, fontbuffer=_font().buffer)
    # From the page as displayed to the page as stored, and from there to PDF's own axes, which know nothing of the crop box.
    matrix = page.derotation_matrix * pymupdf.Matrix(1, 0, 0, -1, page.cropbox.x0, page.mediabox.y1 - page.cropbox.y0)
    content = f"q BT {_INVISIBLE} Tr /{_FONT} 1 Tf {' '.join(_shown(lines, matrix))} ET Q".encode()
    pymupdf.TOOLS._insert_contents(page, content, True)  # noqa: SLF001, FBT003  (what PyMuPDF's own insert_text calls)


def _shown(lines: Sequence[Line], matrix: Any) -> Iterator[str]:
    """Each word as show operators, set along its line's baseline from where its box begins to where it ends; a space fills the gap."""
    font = _font()
    space, blank = f"{font.has_glyph(32):04x}", font.text_length(" ", fontsize=1)
    lean = _lean(lines)
    across, down = pymupdf.Point(math.cos(lean), math.sin(lean)), pymupdf.Point(-math.sin(lean), math.cos(lean))
    for line in lines:
        top, bottom = _edges(line, lean, down)
        size = (bottom - top) / (font.ascender - font.descender)
        spans = _spans(line, lean, across, _LEAST_GAP * size)
        lengths = [font.text_length(word.text, fontsize=1) or 1.0 for word in line.words]
        if lean:
            # Viewers tell the lines of a leaning page apart only where letters are as high as they are wide.
            size = sum(end - start for start, end in spans) / sum(lengths)
        base, up = down * ((top + bottom + (font.ascender + font.descender) * size) / 2), _turned(down * -size, matrix)
        for n, (word, length) in enumerate(zip(line.words, lengths, strict=True)):
            glyphs = "".join(f"{font.has_glyph(ord(c)) or font.has_glyph(0xFFFD) or 0:04x}" for c in word.text)
            start, end = spans[n]
            stretch, spacing = (end - start) / length, 0.0
            if lean:
                # The space between the letters makes up for the stretch.
                stretch, spacing = size, max(-_CLOSER, min(_WIDER, ((end - start) / size - length) / len(word.text)))
                end = start + size * (length + spacing * len(word.text))
            following = spans[n + 1][0] if n + 1 < len(spans) else end  # the last one's space only ends it
            gap = max(_LEAST_GAP * size, following - end)
            origin, right = (base + across * start) * matrix, _turned(across * stretch, matrix)
            numbers = " ".join(f"{n:.4f}" for n in (right.x, right.y, up.x, up.y, origin.x, origin.y))
            yield f"{numbers} Tm {spacing:.4f} Tc <{glyphs}> Tj {gap / stretch - blank:.4f} Tc <{space}> Tj"


def _spans(line: Line, lean: float, across: Any, gap: float) -> list[tuple[float, float]]:
    """Where each word begins and ends along the line; at least `gap` lies between two, or viewers would lose the space."""
    middles, halves = [_along(_middle(word.box), across) for word in line.words], [_sides(word.box, lean)[0] / 2 for word in line.words]
    starts = [middle - half for middle, half in zip(middles, halves, strict=True)]
    ends = [middle + half for middle, half in zip(middles, halves, strict=True)]
    # A word keeps half its width, whatever stands on it.
    return [
        (start, max(middle, min(end, following - gap)) if middle < following else end)
        for start, middle, end, following in zip(starts, middles, ends, [*starts[1:], math.inf], strict=True)
    ]


def _edges(line: Line, lean: float, down: Any) -> tuple[float, float]:
    """How far down the highest of the line's words begins and the lowest ends."""
    middles, halves = [_along(_middle(word.box), down) for word in line.words], [_sides(word.box, lean)[1] / 2 for word in line.words]
    edges = list(zip(middles, halves, strict=True))
    return min(middle - half for middle, half in edges), max(middle + half for middle, half in edges)


def _lean(lines: Sequence[Line]) -> float:
    """Radians by which the page's lines fall to the right: the median of its long ones, 0 where they are as good as level."""
    leans = []
    for line in lines:
        first, last = line.words[0].box, line.words[-1].box
        way = _middle(last) - _middle(first)
        if way.x > _LONG * min(first.height, last.height):
            leans.append(math.atan2(way.y, way.x))
    lean = median(leans) if leans else 0.0
    return lean if _LEVEL < abs(lean) < _STEEP else 0.0


def _sides(box: BoundingBox, lean: float) -> tuple[float, float]:
    """Width and height of the leaning rectangle of which `box` is the upright bounds."""
    sine, cosine = abs(math.sin(lean)), math.cos(lean)
    scale = cosine**2 - sine**2
    width, height = (box.width * cosine - box.height * sine) / scale, (box.height * cosine - box.width * sine) / scale
    # A reader may give a word a box without an area, which nothing could be written into.
    return max(width, box.width / 2, _THIN), max(height, box.height / 2, _THIN)


def _middle(box: BoundingBox) -> Any:
    return pymupdf.Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)


def _along(point: Any, direction: Any) -> float:
    return float(point.x * direction.x + point.y * direction.y)


def _turned(way: Any, matrix: Any) -> Any:
    """A way, which has no place, through a matrix."""
    return way * matrix - pymupdf.Point() * matrix


@cache
def _font() -> Any:
    """Nimbus Sans, which MuPDF carries: Latin with all its accents, Greek and Cyrillic."""
    return pymupdf.Font("helv")


def _disarm(document: Any, xref: int) -> None:
    try:
        before = document.xref_object(xref, compressed=True)
        if document.xref_is_stream(xref):
            # Rewriting its dictionary whole would lose the stream: right for an attachment, wrong for a picture.
            if "/EmbeddedFile" in before:
                document.update_object(xref, "<<>>")
            for key in set(document.xref_get_keys(xref)) & {match[1] for match in _ACTING.finditer(before)}:
                document.xref_set_key(xref, key, "null")
            return
    except BROKEN:
        return
    # Without the reference, what it led to (a script in a stream of its own) is not written either.
    after = _ACTING.sub(lambda match: "/Removed null" if match[2] else "/Removed", before)
    if after != before:
        document.update_object(xref, after)
