"""Finds out what a file is from its content, never from its name, and opens it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from escriba.errors import Unsupported
from escriba.policy import Limits
from escriba.ports import PageFeatures, PageSource
from escriba.sources.images import ImageSource
from escriba.sources.pdf import PdfSource

READS = "PDF, PNG, JPEG, TIFF, WebP, BMP, GIF, JPEG 2000, HEIC and AVIF"
HEAD = 1024  # bytes in which a PDF's mark must stand, as readers have always allowed
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"II+\x00": "image/tiff",
    b"MM\x00+": "image/tiff",
    b"BM": "image/bmp",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "image/jp2",
    b"\xff\x4f\xff\x51": "image/jp2",
}
# The third group of four bytes in files whose first is a length (HEIF family) or a mark of its own (RIFF).
_BRANDS = {
    b"WEBP": "image/webp",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"mif1": "image/heic",
    b"msf1": "image/heic",
}
_PDF_OBJECT = re.compile(rb"(^|[\r\n ])\d{1,10} \d{1,5} obj\b")
_OTHERS = {
    b"PK\x03\x04": "a ZIP archive or office document",
    b"RIFF": "a sound or a film",
    b"\x00\x00\x01\x00": "an icon",
    b"{\\rtf": "an RTF document",
    b"\xd0\xcf\x11\xe0": "an old office document",
    b"%!PS": "a PostScript file",
    b"<": "an HTML or XML file",
}


class Source(Protocol):
    """An open document."""

    media_type: str
    page_count: int

    def features(self, number: int) -> PageFeatures:
        """What is cheap to know of page `number` (from 1)."""

    def cut(self, number: int) -> bytes:
        """Page `number` as a file of its own."""

    def picture(self, number: int) -> bytes:
        """Page `number` of a file of pictures as a picture that a PDF can hold."""

    def page(self, number: int) -> PageSource:
        """Page `number` for an engine."""

    def close(self) -> None:
        """Let go of the file."""


def media_type(head: bytes) -> str:
    """The kind of a file by its first bytes (1,024 are enough), "" when Escriba does not read it."""
    if b"%PDF-" in head[:HEAD]:
        return "application/pdf"
    if head[4:8] == b"ftyp" or head[:4] == b"RIFF":
        return _BRANDS.get(head[8:12], "")
    known = next((kind for mark, kind in _KINDS.items() if head.startswith(mark)), "")
    # A PDF whose first line was lost still has its objects.
    return known or ("application/pdf" if _PDF_OBJECT.search(head) else "")


def open_source(path: Path, limits: Limits | None = None) -> Source:
    """Open a document. Raises `Unsupported`, `Encrypted`, `Corrupt` or `OverLimit` with one sentence for its owner."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    kind = media_type(head)
    if kind == "application/pdf":
        return PdfSource(path, limits or Limits())
    if kind:
        return ImageSource(path, kind, limits or Limits())
    raise Unsupported(f"the file is {_describe(head)}; Escriba reads {READS}")


def _describe(head: bytes) -> str:
    if not head:
        return "empty"
    known = next((name for mark, name in _OTHERS.items() if head.startswith(mark)), "")
    if known:
        return known
    try:
        head.decode()
    except UnicodeDecodeError:
        return "of an unknown kind"
    return "plain text"
