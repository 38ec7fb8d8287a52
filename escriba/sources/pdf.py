"""A PDF through PyMuPDF: features of a page, a page cut out, a page for an engine."""

from __future__ import annotations

import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf

from escriba.errors import Corrupt, Encrypted, PermanentError
from escriba.guards.limits import check_page_size
from escriba.policy import Limits
from escriba.ports import PageFeatures
from escriba.sources.damage import check_whole, is_repaired, unfinished_object

MAX_PIXELS = 40_000_000
"""Pixels of one rendered page; a larger page is rendered at a lower resolution."""
_FEATURE_FLAGS = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_CID_FOR_UNKNOWN_UNICODE
_STORE_PERCENT = 50

# PyMuPDF's own errors are RuntimeErrors; MuPDF's come through in places, and broken files surprise its Python code.
BROKEN = (RuntimeError, ValueError, IndexError, KeyError, TypeError, AttributeError, AssertionError, pymupdf.mupdf.FzErrorBase)

pymupdf.TOOLS.mupdf_display_errors(False)  # noqa: FBT003  (what MuPDF says may quote the document)
pymupdf.TOOLS.mupdf_display_warnings(False)  # noqa: FBT003


class PdfSource:
    """Implements `opening.Source`."""

    media_type = "application/pdf"

    def __init__(self, path: Path, limits: Limits) -> None:
        """Raises `Encrypted` when a password is needed, `Corrupt` when no page can be found."""
        self._path, self._limits = path, limits
        try:
            self._document = pymupdf.open(path, filetype="pdf")
            if not self._document.is_pdf:
                # MuPDF looks for itself, and a picture may hold a PDF's mark.
                raise Corrupt("the file has the mark of a PDF but is something else")
            if self._document.needs_pass:
                raise Encrypted("the PDF is encrypted and needs a password")
            self.page_count = self._document.page_count
            self.is_portfolio = is_portfolio(self._document)
        except BROKEN as error:
            raise Corrupt("the PDF is broken and cannot be opened") from error
        if self.page_count == 0:
            raise Corrupt("the PDF has no pages")

    def features(self, number: int) -> PageFeatures:
        try:
            page = self._load(number)
        except PermanentError:
            # Whoever reads it will say what is wrong; its neighbours are not to suffer.
            return PageFeatures(number=number, width=0, height=0)
        try:
            log = page.get_bboxlog()
            text = page.get_text("text", flags=_FEATURE_FLAGS)
        except BROKEN:
            # Nothing is known of it: let the pixels decide.
            return PageFeatures(number=number, width=page.rect.width, height=page.rect.height, rotation=page.rotation, image_coverage=1.0)
        kinds = [kind for kind, _ in log]
        visible, hidden = kinds.count("fill-text") + kinds.count("stroke-text"), kinds.count("ignore-text")
        characters = [c for c in text if not c.isspace()]
        return PageFeatures(
            number=number,
            width=round(page.rect.width, 2),
            height=round(page.rect.height, 2),
            rotation=page.rotation,
            characters=len(characters),
            junk=round(sum(map(_is_junk, characters)) / len(characters), 4) if characters else 0.0,
            hidden_text=round(hidden / (visible + hidden), 4) if hidden else 0.0,
            image_coverage=_coverage(log, page.cropbox),
            drawings=sum(kind in {"fill-path", "stroke-path", "fill-shade"} for kind in kinds),
        )

    def cut(self, number: int) -> bytes:
        if flaw := self.page(number).flaw:
            # What it refers to in vain a copy would leave out, and look whole.
            raise Corrupt(flaw)
        single = pymupdf.open()
        try:
            single.insert_pdf(self._document, from_page=number - 1, to_page=number - 1, links=False)
            return bytes(single.tobytes(garbage=3, no_new_id=True))
        except BROKEN as error:
            raise Corrupt("the page is broken and cannot be taken out of its document") from error
        finally:
            single.close()

    def picture(self, number: int) -> bytes:
        pixmap = self._load(number).get_pixmap(dpi=200, alpha=False)
        return bytes(pixmap.tobytes("png"))

    def page(self, number: int) -> PdfPage:
        return PdfPage(self._load(number), number, self._unfinished)

    def close(self) -> None:
        self._document.close()

    @cached_property
    def _unfinished(self) -> int:
        return unfinished_object(self._path) if is_repaired(self._document) else 0

    def _load(self, number: int) -> Any:
        # What MuPDF keeps of earlier pages would grow with the document.
        pymupdf.TOOLS.store_shrink(_STORE_PERCENT)
        try:
            page = self._document.load_page(number - 1)
            width, height = page.rect.width, page.rect.height
        except BROKEN as error:
            raise Corrupt("the page is broken and cannot be opened") from error
        check_page_size(width, height, self._limits)
        return page


class PdfPage:
    """Implements `ports.PageSource`."""

    def __init__(self, page: Any, number: int, unfinished: int = 0) -> None:
        """`unfinished` is the object in which the file breaks off."""
        self._page, self.number, self._unfinished = page, number, unfinished
        self.width, self.height = float(page.rect.width), float(page.rect.height)

    @property
    def flaw(self) -> str:
        """What a repaired document has lost of the page. Raises `Corrupt` when that is everything."""
        try:
            return check_whole(self._page, self._unfinished) if is_repaired(self._page.parent) else ""
        except BROKEN as error:
            raise Corrupt("the page is broken and cannot be drawn") from error

    def image(self, dpi: int) -> Any:
        fitting = min(dpi, int(72 * (MAX_PIXELS / max(1.0, self.width * self.height)) ** 0.5))
        try:
            pixmap = self._page.get_pixmap(dpi=max(1, fitting), alpha=False, colorspace=pymupdf.csRGB)
        except BROKEN as error:
            raise Corrupt("the page is broken and cannot be drawn") from error
        return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)

    def native(self) -> Any:
        return self._page


def is_portfolio(document: Any) -> bool:
    """Whether a PDF is a cover for the documents inside it."""
    try:
        return "Collection" in document.xref_get_keys(document.pdf_catalog())
    except BROKEN:
        return False


def _is_junk(character: str) -> bool:
    """Unmapped, private or control characters: what a text layer holds whose font says nothing of its letters."""
    return character == "\ufffd" or unicodedata.category(character) in {"Co", "Cn", "Cc", "Cs"}


def _coverage(log: list[tuple[str, tuple[float, float, float, float]]], box: Any) -> float:
    """Share of the page under images; the log's boxes and the crop box both know nothing of the page's rotation."""
    covered = 0.0
    for kind, (x0, y0, x1, y1) in log:
        if kind in {"fill-image", "fill-imgmask"}:
            covered += max(0.0, min(x1, box.width) - max(x0, 0.0)) * max(0.0, min(y1, box.height) - max(y0, 0.0))
    return float(round(min(1.0, covered / max(1.0, box.width * box.height)), 4))
