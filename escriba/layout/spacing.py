"""Parts words that one engine has run together, where another saw the spaces between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from msgspec.structs import replace

from escriba.document import BoundingBox, Line, Word

_SURE = 0.7
"""Confidence that every word of the guide must have; where it is unsure it parts words that belong together."""
_LIKE = 0.75
"""How alike the letters of both must be (1: the same)."""
_INSIDE = 0.5
_ENDS = re.compile(r"""[^\W\d_][,;:!?)\]"'»”’]*$""")  # noqa: RUF001  (quotation marks as printed)
_BEGINS = re.compile(r"""["'(\[«“‘¿¡]*[^\W\d_]""")  # noqa: RUF001
"""Letters on both sides of the space: numbers, dates and addresses are parted by too many engines that should not."""


def respaced(lines: Sequence[Line], guide: Sequence[Line]) -> list[Line]:
    """`lines` with words parted where `guide` (boxes in points on the same page) has several in their place; no character changes."""
    seen = sorted((word for line in guide for word in line.words), key=lambda word: word.box.x0)
    return [Line(line.box, tuple(part for word in line.words for part in _parted(word, seen))) for line in lines]


def _parted(word: Word, seen: Sequence[Word]) -> Iterator[Word]:
    pieces = [other for other in seen if _lies_in(other.box, word.box)] if len(word.text) > 2 else []  # noqa: PLR2004
    cuts = _cuts(word.text, pieces) if len(pieces) > 1 and all((piece.confidence or 0) >= _SURE for piece in pieces) else []
    for start, end in zip([0, *cuts], [*cuts, len(word.text)], strict=True):
        x0, x1 = (round(word.box.x0 + word.box.width * at / len(word.text), 2) for at in (start, end))
        yield replace(word, text=word.text[start:end], box=BoundingBox(x0, word.box.y0, x1, word.box.y1)) if cuts else word


def _lies_in(inner: BoundingBox, outer: BoundingBox) -> bool:
    wide = min(inner.x1, outer.x1) - max(inner.x0, outer.x0)
    return wide > _INSIDE * inner.width and outer.y0 < (inner.y0 + inner.y1) / 2 < outer.y1


def _cuts(text: str, pieces: Sequence[Word]) -> list[int]:
    """Where in `text` a space belongs, going by the pieces in its place."""
    joined = "".join(piece.text for piece in pieces)
    alike = SequenceMatcher(None, joined.casefold(), text.casefold(), autojunk=False)
    if len(joined.casefold()) != len(joined) or len(text.casefold()) != len(text) or alike.ratio() < _LIKE:
        return []
    cuts, at = [], 0
    for piece in pieces[:-1]:
        at += len(piece.text)
        # Only a place whose both sides the engines read alike is sure.
        cut = next((b + at - a for a, b, size in alike.get_matching_blocks() if a < at <= a + size), None)
        if cut is not None and _ENDS.search(text[:cut]) and _BEGINS.match(text[cut:]):
            cuts.append(cut)
    return cuts
