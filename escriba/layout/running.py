"""Finds running headers and footers: short blocks at the edge of a page that come again on others, page numbers and all."""

from __future__ import annotations

import re
from collections import Counter

from msgspec.structs import replace

from escriba.document import Block, BlockKind, Page

RUNNING: set[BlockKind] = {"page_header", "page_footer"}
"""Kinds of blocks that belong to the paper, not to the text: left out of Markdown and chunks."""
_EDGE = 0.12
"""Share of the page's height, from either end, in which they stand."""
_LEAST_PAGES = 3
_MOST_CHARACTERS = 200
_MAY_BE: set[BlockKind] = {"paragraph", "list_item"}
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")


class RunningCensus:
    """Counts, over a document's pages, what stands at their edges."""

    def __init__(self) -> None:
        self._pages: Counter[tuple[BlockKind, str]] = Counter()

    def add(self, page: Page) -> None:
        """Take a page into account."""
        self._pages.update({key for block in page.blocks if (key := _key(block, page)) is not None})

    def kind(self, block: Block, page: Page) -> BlockKind:
        """`page_header` or `page_footer` where the block comes again on enough pages, otherwise its own kind."""
        key = _key(block, page)
        return key[0] if key is not None and self._pages[key] >= _LEAST_PAGES else block.kind


def mark_running(page: Page, census: RunningCensus, heading_size: float) -> Page:
    """The page with its running blocks marked; what is set larger than `heading_size` (points) is a title, however often it comes."""
    if page.route != "text_layer":
        heading_size = 0.0  # sizes on scans are too uncertain
    blocks = tuple(
        block if heading_size and block.font_size >= heading_size else replace(block, kind=census.kind(block, page))
        for block in page.blocks
    )
    # A page that holds nothing else ("Exhibit 3") is not empty.
    return replace(page, blocks=blocks) if any(block.kind not in RUNNING for block in blocks) else page


def _key(block: Block, page: Page) -> tuple[BlockKind, str] | None:
    """Which edge, and the text with its numbers made alike."""
    if block.kind not in _MAY_BE or not page.height:
        return None
    kind: BlockKind
    if block.box.y1 <= _EDGE * page.height:
        kind = "page_header"
    elif block.box.y0 >= (1 - _EDGE) * page.height:
        kind = "page_footer"
    else:
        return None
    text = f"{block.marker} {block.text}".strip()
    return (kind, _NUMBER.sub("0", text.casefold())) if 0 < len(text) <= _MOST_CHARACTERS else None
