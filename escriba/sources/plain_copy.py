"""Makes a plain copy of a PDF that cannot be read as it stands: an encrypted one is unlocked, a portfolio unfolded into its documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymupdf

from escriba.errors import Corrupt, Encrypted
from escriba.guards.limits import check_nesting, check_pages
from escriba.policy import Limits
from escriba.sources.damage import keep_mark
from escriba.sources.opening import HEAD, media_type
from escriba.sources.pdf import BROKEN, is_portfolio


def write_plain_copy(path: Path, copy: Path, limits: Limits, passwords: Sequence[str]) -> bool:
    """Write the copy and return True, or return False when the PDF at `path` needs none. Raises `Encrypted`, `Corrupt` or `OverLimit`."""
    try:
        with pymupdf.open(path, filetype="pdf") as document:
            locked = bool(document.needs_pass)
            if locked:
                unlock(document, passwords)
            if is_portfolio(document):
                with pymupdf.open() as unfolded:
                    _unfold(document, unfolded, limits, passwords, 1)
                    keep_mark(document, unfolded)
                    unfolded.save(copy, no_new_id=True)
            elif locked:
                keep_mark(document, document)
                document.save(copy, encryption=pymupdf.PDF_ENCRYPT_NONE)
            else:
                return False
    except BROKEN as error:
        raise Corrupt("the PDF is broken and cannot be opened") from error
    return True


def unlock(document: Any, passwords: Sequence[str]) -> None:
    """Open an encrypted document with the first password that fits. Raises `Encrypted`."""
    if not passwords:
        raise Encrypted(
            "the PDF is encrypted and needs a password; give it with --password, or in the secret that the policy's password_secret names"
        )
    if not any(document.authenticate(password) for password in passwords):
        raise Encrypted("the PDF is encrypted and none of the passwords given opens it")


def _unfold(portfolio: Any, into: Any, limits: Limits, passwords: Sequence[str], depth: int) -> None:
    """Append the portfolio's own pages, then those of each document and picture in it; what is neither is left out."""
    check_nesting(depth, limits)
    into.insert_pdf(portfolio)
    for name in portfolio.embfile_names():
        content = portfolio.embfile_get(name)
        kind = media_type(content[:HEAD])
        if not kind:
            continue
        try:
            _append(content, kind, into, limits, passwords, depth)
        except (*BROKEN, Encrypted, Corrupt):
            # One broken part must not cost the others; a page says that it was there.
            into.new_page().insert_text((60, 80), "A document in this portfolio could not be opened.")
        check_pages(into.page_count, limits)


def _append(content: bytes, kind: str, into: Any, limits: Limits, passwords: Sequence[str], depth: int) -> None:
    if kind != "application/pdf":
        page = into.new_page()
        page.insert_image(page.rect, stream=content)
        return
    with pymupdf.open(stream=content, filetype="pdf") as part:
        if part.needs_pass:
            unlock(part, passwords)
        if is_portfolio(part):
            _unfold(part, into, limits, passwords, depth + 1)
        else:
            into.insert_pdf(part)
            keep_mark(part, into)
