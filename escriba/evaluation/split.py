"""Parts documents into a half to tune on and a half to report on, by nothing but their names."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

Half = Literal["tuning", "reporting"]

# A plain number at the end tells one document from the next as often as one page from the next: it is no page mark.
_PAGE_MARK = re.compile(r"(?<=.)(?:[-_. ]pdf)?[-_. ](?:page|pag|pg|pp|p|folio|fol|f)[-_. ]?\d+[rv]?$", re.IGNORECASE)


def document_of(name: str) -> str:
    """The document that a page's file belongs to: its stem without a mark such as `_page_52`, `_pdf_page_7`, `-p12` or `_f20`."""
    return _PAGE_MARK.sub("", name)


def half_of(name: str) -> Half:
    """The half of a document by its file's stem: an even SHA-256 of the document's name (UTF-8) tunes, an odd one reports."""
    digest = hashlib.sha256(document_of(name).encode("utf-8", "surrogateescape")).digest()
    return "reporting" if int.from_bytes(digest) % 2 else "tuning"
