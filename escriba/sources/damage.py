"""Finds out what a repaired PDF has lost of a page: MuPDF shows what is left of a file that is cut off, and says nothing."""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import Any

import pymupdf

from escriba.errors import Corrupt

PART_LOST = "the PDF is cut off or damaged: a part of this page is missing"
_ALL_LOST = "the PDF is cut off or damaged: nothing is left of this page"
_MARK = "EscribaRepaired"
_DPI = 36  # enough to have every image decoded
_LOST = re.compile(
    "premature end|truncated image|read error|library error|failed to decode|error during interpretation"
    "|cannot load content stream|cannot find (xobject|font) resource|no xobject subtype",
    re.IGNORECASE,
)
"""What MuPDF says where something is missing; of fonts and strokes that it makes do without it says other things."""
_REFERENCE = re.compile(r"(\d+) \d+ R\b")
_OBJECT = re.compile(rb"(?:^|[\r\n])[ \t]*(\d{1,10})[ \t\r\n]+\d{1,5}[ \t\r\n]+obj\b")


def is_repaired(document: Any) -> bool:
    """Whether MuPDF had to repair this PDF, or the one that it was taken from."""
    return bool(document.is_repaired) or _MARK in document.xref_get_keys(document.pdf_catalog())


def keep_mark(document: Any, copy: Any) -> None:
    """Have `is_repaired` say of a copy what it says of the document: its structure is whole, but its pages lack what the document's lack."""
    if is_repaired(document):
        copy.xref_set_key(copy.pdf_catalog(), _MARK, "true")


def check_whole(page: Any, unfinished: int) -> str:
    """What is wrong with a page of a repaired PDF, "" when it is whole. Raises `Corrupt` when nothing is left of it.

    `unfinished` is the object that breaks off with the file, see `unfinished_object`.
    """
    if _is_lost(page.parent, page.xref):
        raise Corrupt(_ALL_LOST)
    # An image that was decoded before would not be complained of again.
    pymupdf.TOOLS.store_shrink(100)
    pymupdf.TOOLS.reset_mupdf_warnings()
    pixmap = page.get_pixmap(dpi=_DPI, alpha=False)
    named = map(int, _REFERENCE.findall(page.parent.xref_get_key(page.xref, "Contents")[1]))
    lost = any(_is_lost(page.parent, number) for number in named)
    if not lost and unfinished not in _streams(page) and not _LOST.search(pymupdf.TOOLS.mupdf_warnings()):
        return ""
    if pixmap.is_unicolor and not page.get_text().strip():
        raise Corrupt(_ALL_LOST)
    return PART_LOST


def _is_lost(document: Any, number: int) -> bool:
    return bool(number >= document.xref_length() or document.xref_object(number, compressed=True) == "null")


def _streams(page: Any) -> set[int]:
    """Object numbers of what a page is drawn from."""
    return {*page.get_contents(), *(image[0] for image in page.get_images()), *(form[0] for form in page.get_xobjects())}


def unfinished_object(path: Path) -> int:
    """Number of the object in which a file breaks off before its stream has come to an end, 0 when there is none."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = content.rfind(b"endobj") + 1
        last = _OBJECT.search(content, end)
        return int(last[1]) if last is not None and content.find(b"endstream", last.end()) < 0 else 0
