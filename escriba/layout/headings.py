"""Decides which blocks are headings, from the type sizes of the whole document."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from escriba.document import Block, Page

LARGER = 1.12
"""Size from which a block stands out, in sizes of the body."""
_MOST_CHARACTERS = 160
_LEVELS = 6
_MAY_BE = {"paragraph", "list_item"}  # "1. Overview" looks like an item until its type is seen


class FontCensus:
    """Characters by type size (points, rounded to halves) over a document's text-layer pages."""

    def __init__(self) -> None:
        self._characters: Counter[float] = Counter()
        self._candidates: set[tuple[float, bool]] = set()

    def add(self, page: Page) -> None:
        """Take a page into account."""
        if page.route != "text_layer":
            return
        for block in page.blocks:
            if block.font_size:
                self._characters[_rounded(block.font_size)] += sum(len(word.text) for line in block.lines for word in line.words)
            if block.kind in _MAY_BE and _short(block):
                self._candidates.add((_rounded(block.font_size), block.bold))

    @property
    def body(self) -> float:
        """The size in which most characters are set; 0 without any."""
        return max(self._characters, key=lambda size: (self._characters[size], size), default=0.0)

    def levels(self) -> dict[tuple[float, bool], int]:
        """The heading level of each (size, bold) that stands out: 1 for the largest."""
        body = self.body
        out = [(size, bold) for size, bold in self._candidates if size >= body * LARGER or (bold and size >= body)]
        sizes = sorted(out, reverse=True)
        return {key: min(_LEVELS, rank) for rank, key in enumerate(sizes, start=1)}


def promote(page: Page, census: FontCensus) -> Page:
    """The page with its headings made headings; pages read by OCR stay as they are, their sizes are too uncertain."""
    if page.route != "text_layer" or not census.body:
        return page
    levels = census.levels()
    return replace(page, blocks=tuple(_promoted(block, levels) for block in page.blocks))


def _promoted(block: Block, levels: dict[tuple[float, bool], int]) -> Block:
    level = levels.get((_rounded(block.font_size), block.bold), 0)
    if block.kind in _MAY_BE and level and _short(block):
        return replace(block, kind="heading", level=level)
    return block


def _short(block: Block) -> bool:
    text = block.text
    return len(block.lines) <= 3 and 0 < len(text) <= _MOST_CHARACTERS and any(c.isalpha() for c in text)  # noqa: PLR2004


def _rounded(size: float) -> float:
    return round(size * 2) / 2
