"""Draws the canary's documents: one page that says a nonce, with a text layer or as a scan."""

from __future__ import annotations

import pymupdf

_A4 = (595, 842)  # points
_DPI = 100


def digital_page(nonce: str) -> bytes:
    """A PDF with a text layer."""
    with _page(nonce) as document:
        data: bytes = document.tobytes()
        return data


def scanned_page(nonce: str) -> bytes:
    """The same page as a picture (PNG)."""
    with _page(nonce) as document:
        data: bytes = document[0].get_pixmap(dpi=_DPI).tobytes("png")
        return data


def _page(nonce: str) -> pymupdf.Document:
    document = pymupdf.open()
    page = document.new_page(width=_A4[0], height=_A4[1])
    page.insert_text((72, 120), f"Canary {nonce}", fontsize=28)
    page.insert_text((72, 180), "This page was sent to see whether documents are read.", fontsize=14)
    return document
