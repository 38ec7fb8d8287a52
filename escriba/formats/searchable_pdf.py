"""Writes `document.pdf`: the original's pages with what OCR read laid over them as invisible text. Runs in the child process.

Nothing that acts survives: scripts, launches, attachments and automatic actions are renamed to something no viewer knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pymupdf

from escriba.document import Page, Word
from escriba.errors import Corrupt
from escriba.sources.opening import Source
from escriba.sources.pdf import BROKEN

_FONT = "EscribaText"
_INVISIBLE = 3  # PDF's text rendering mode
_ACTING = re.compile(
    r"/(JavaScript|JS|Launch|OpenAction|AA|EmbeddedFiles?|EF|AF|Collection|RichMedia|SubmitForm|ImportData)(?![\w.#-])(\s*\d+ \d+ R)?"
)
_FIXED = {"creationDate": "D:20000101000000Z", "modDate": "D:20000101000000Z", "producer": "Escriba", "creator": "Escriba"}


def write_searchable_pdf(source: Source, path: Path, read: Iterable[Page], out: Path) -> None:
    """Write the PDF of the file at `path`, opened as `source`, to `out`; `read` are the pages whose words are to lie over it.

    Only pages that hold no text themselves get any. The same input gives the same bytes. Raises `Corrupt`.
    """
    try:
        with _original(source, path) as document:
            for page in read:
                _lay_over(document, page)
            for xref in range(1, document.xref_length()):
                _disarm(document, xref)
            document.set_metadata(_FIXED)
            document.del_xml_metadata()
            document.xref_set_key(-1, "ID", "null")
            document.save(out, garbage=2, deflate=True, no_new_id=True)
    except BROKEN as error:
        raise Corrupt("the PDF is too broken to be written again") from error


def _original(source: Source, path: Path) -> Any:
    if source.media_type == "application/pdf":
        return pymupdf.open(path, filetype="pdf")
    document = pymupdf.open()
    for number in range(1, source.page_count + 1):
        shape = source.page(number)
        page = document.new_page(width=shape.width, height=shape.height)
        page.insert_image(page.rect, stream=source.picture(number))
    return document


def _lay_over(document: Any, read: Page) -> None:
    page = document[read.number - 1]
    if read.turned:
        # Upright for whoever opens it too; and the boxes are those of the turned page.
        page.set_rotation((page.rotation + read.turned) % 360)
    words = list(read.words())
    if not words or page.get_text("text").strip():
        return
    page.wrap_contents()
    page.insert_font(fontname=_FONT, fontbuffer=_font().buffer)
    # From the page as displayed to the page as stored, and from there to PDF's own axes, which know nothing of the crop box.
    matrix = page.derotation_matrix * pymupdf.Matrix(1, 0, 0, -1, page.cropbox.x0, page.mediabox.y1 - page.cropbox.y0)
    content = f"q BT {_INVISIBLE} Tr /{_FONT} 1 Tf {' '.join(_shown(words, matrix))} ET Q".encode()
    pymupdf.TOOLS._insert_contents(page, content, True)  # noqa: SLF001, FBT003  (what PyMuPDF's own insert_text calls)


def _shown(words: list[Word], matrix: Any) -> Iterator[str]:
    """Each word as one show operator, its own matrix stretching it to its box; a space after it parts it from the next."""
    font = _font()
    space = f"{font.has_glyph(32):04x}"
    for word in words:
        glyphs = "".join(f"{font.has_glyph(ord(c)) or font.has_glyph(0xFFFD) or 0:04x}" for c in word.text)
        length = font.text_length(word.text, fontsize=1) or 1.0
        size = word.box.height / (font.ascender - font.descender)
        base = word.box.y1 + font.descender * size
        origin = pymupdf.Point(word.box.x0, base) * matrix
        right = (pymupdf.Point(word.box.x1, base) * matrix - origin) / length
        up = pymupdf.Point(word.box.x0, base - size) * matrix - origin
        yield " ".join(f"{n:.4f}" for n in (right.x, right.y, up.x, up.y, origin.x, origin.y)) + f" Tm <{glyphs}{space}> Tj"


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
