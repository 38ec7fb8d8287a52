"""Finds out what a file is from its content, never from its name, and opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from escriba.errors import Unsupported
from escriba.ports import PageFeatures, PageSource
from escriba.sources.images import ImageSource
from escriba.sources.pdf import PdfSource

_HEAD = 1024  # bytes in which a PDF's mark must stand, as readers have always allowed
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"II+\x00": "image/tiff",
    b"MM\x00+": "image/tiff",
}
_OTHERS = {
    b"PK\x03\x04": "a ZIP archive or office document",
    b"GIF8": "a GIF image",
    b"RIFF": "a WebP image or sound",
    b"BM": "a BMP image",
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

    def page(self, number: int) -> PageSource:
        """Page `number` for an engine."""

    def close(self) -> None:
        """Let go of the file."""


def media_type(head: bytes) -> str:
    """The kind of a file by its first bytes (1,024 are enough), "" when Escriba does not read it."""
    if b"%PDF-" in head[:_HEAD]:
        return "application/pdf"
    return next((kind for mark, kind in _KINDS.items() if head.startswith(mark)), "")


def open_source(path: Path) -> Source:
    """Open a document. Raises `Unsupported`, `Encrypted`, `Corrupt` or `OverLimit` with one sentence for its owner."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    kind = media_type(head)
    if kind == "application/pdf":
        return PdfSource(path)
    if kind:
        return ImageSource(path, kind)
    raise Unsupported(f"the file is {_describe(head)}; Escriba reads PDF, PNG, JPEG and TIFF")


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
