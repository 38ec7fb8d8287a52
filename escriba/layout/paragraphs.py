"""Groups recognised lines into paragraphs, in reading order."""

from __future__ import annotations

from collections.abc import Sequence

from escriba.document import Block, BoundingBox, Line
from escriba.layout.lists import marked
from escriba.layout.reading_order import reading_order

_SAME_SIZE = 1.5
_LINE_GAP = 0.75
"""White between two lines of a paragraph, in heights of the lower one."""


def blocks_from_lines(lines: Sequence[Line], page_width: float) -> tuple[Block, ...]:
    """Paragraphs and list items from a page's lines (boxes in points), put into reading order; `font_size` is the mean line height."""
    return blocks_in_order([lines[i] for i in reading_order([line.box for line in lines])], page_width)


def blocks_in_order(lines: Sequence[Line], page_width: float) -> tuple[Block, ...]:
    """The same from lines that stand in reading order already."""
    groups: list[list[Line]] = []
    for line in join_rows(lines):
        if groups and _continues(groups[-1], line, page_width):
            groups[-1].append(line)
        else:
            groups.append([line])
    return tuple(paragraph(group) for group in groups)


def join_rows(lines: Sequence[Line]) -> list[Line]:
    """Neighbours in reading order that stand on one row become one line."""
    joined: list[Line] = []
    for line in lines:
        if joined and _same_row(joined[-1].box, line.box):
            before = joined.pop()
            line = Line(BoundingBox.around((before.box, line.box)), before.words + line.words)  # noqa: PLW2901
        joined.append(line)
    return joined


def _same_row(left: BoundingBox, right: BoundingBox) -> bool:
    common = min(left.y1, right.y1) - max(left.y0, right.y0)
    return right.x0 >= left.x1 - 1 and common > 0.5 * min(left.height, right.height)


def _continues(group: list[Line], line: Line, page_width: float) -> bool:
    last = group[-1].box
    below = line.box.y0 - last.y1
    sizes = sorted((last.height, line.box.height))
    beside = line.box.x0 > last.x1 or line.box.x1 < last.x0
    starts_item = bool(marked(line)[0])
    # A last line that ends well before the others ends its paragraph.
    full = max(previous.box.x1 for previous in group)
    ended = len(group) > 1 and full - last.x1 > 0.2 * page_width
    return not (beside or starts_item or ended) and -last.height < below < _LINE_GAP * line.box.height and sizes[1] < _SAME_SIZE * sizes[0]


def paragraph(group: Sequence[Line]) -> Block:
    """The lines of one paragraph as a block: a list item where they begin with a marker."""
    marker, first = marked(group[0])
    lines = (first, *group[1:]) if marker else tuple(group)
    box = BoundingBox.around(line.box for line in group)
    size = round(sum(line.box.height for line in group) / len(group), 1)
    return Block(kind="list_item" if marker else "paragraph", box=box, lines=lines, marker=marker, font_size=size)
