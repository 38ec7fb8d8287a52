"""What only the whole document can tell of a page: its headings, running headers and footers, and footnotes."""

from __future__ import annotations

import re

from msgspec.structs import replace

from escriba.document import Block, Page
from escriba.layout.headings import LARGER, FontCensus, promote
from escriba.layout.running import RunningCensus, mark_running

_SMALLER = 0.92
"""Size of a footnote, at most, in sizes of the body."""
_LOWER_HALF = 0.5
_NOTE_MARK = re.compile(r"(\d{1,3}|[*†‡§¹²³⁴⁵⁶⁷⁸⁹]+)[.)]?(?=\s|[^\W\d_])")


class Census:
    """Sizes and edges of every page; pages are added in any order, once each."""

    def __init__(self) -> None:
        self.fonts, self.running = FontCensus(), RunningCensus()

    def add(self, page: Page) -> None:
        """Take a page into account."""
        self.fonts.add(page)
        self.running.add(page)


def structured(page: Page, census: Census) -> Page:
    """The page with headings, running headers and footers, and footnotes named; footnotes stand behind the text they would interrupt."""
    marked = mark_running(page, census.running, census.fonts.body * LARGER)
    blocks = [
        # What somebody filled in is no heading, however large its type.
        before if _filled_in(before, page) else _noted(after, page, census.fonts.body)
        for before, after in zip(marked.blocks, promote(marked, census.fonts).blocks, strict=True)
    ]
    return replace(page, blocks=tuple(sorted(blocks, key=lambda block: block.kind == "footnote")))


def _filled_in(block: Block, page: Page) -> bool:
    x, y = (block.box.x0 + block.box.x1) / 2, (block.box.y0 + block.box.y1) / 2
    return any(field.box.x0 <= x <= field.box.x1 and field.box.y0 <= y <= field.box.y1 for field in page.fields)


def _noted(block: Block, page: Page, body: float) -> Block:
    """A block in small type that begins with a number or star, in the lower half of the page, is a footnote."""
    small = block.kind in {"paragraph", "list_item"} and 0 < block.font_size <= body * _SMALLER
    low = block.box.y0 >= _LOWER_HALF * page.height
    if page.route == "text_layer" and small and low and _NOTE_MARK.match(f"{block.marker} {block.text}".strip()):
        return replace(block, kind="footnote")
    return block
