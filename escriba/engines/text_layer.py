"""Reads the text that a PDF itself carries: the cheapest engine, and the only exact one."""

from __future__ import annotations

import html
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pymupdf

from escriba.document import Block, BoundingBox, Line, Table, Word
from escriba.errors import EngineRejected
from escriba.layout.lists import marked
from escriba.layout.paragraphs import join_rows
from escriba.layout.reading_order import reading_order
from escriba.policy import Policy
from escriba.ports import PageSource

_FLAGS = pymupdf.TEXT_MEDIABOX_CLIP | pymupdf.TEXT_CID_FOR_UNKNOWN_UNICODE
_BOLD = 16
_THIN, _LONG = 3.0, 15.0  # points: what counts as a ruling
_LEAST_RULINGS, _MOST_PATHS = 3, 4000


class TextLayer:
    """Implements `ports.Engine`."""

    name = "text_layer"
    version = f"pymupdf-{pymupdf.VersionBind}.1"

    def read(self, pages: Sequence[PageSource], policy: Policy) -> list[tuple[Block, ...] | EngineRejected]:
        """Each page's paragraphs, list items and ruled tables in reading order, with type sizes for the headings to come."""
        return [_read(page) for page in pages]


def _read(page: PageSource) -> tuple[Block, ...] | EngineRejected:
    native = page.native()
    if native is None:
        return EngineRejected("an image has no text layer")
    text = native.get_textpage(flags=_FLAGS)
    words: dict[tuple[int, int], list[Word]] = {}
    turn = native.rotation_matrix if native.rotation else None
    for x0, y0, x1, y1, content, block, line, _ in text.extractWORDS():
        if clean := _clean(content):
            words.setdefault((block, line), []).append(Word(clean, _box((x0, y0, x1, y1), turn)))
    tables = _tables(native, turn)
    blocks = [table for table, _ in tables]
    for number, block in enumerate(text.extractDICT()["blocks"]):
        made = _blocks(number, block, words, [area for _, area in tables])
        blocks += made
    return tuple(blocks[i] for i in reading_order([block.box for block in blocks]))


def _blocks(number: int, block: dict[str, Any], words: dict[tuple[int, int], list[Word]], areas: list[BoundingBox]) -> list[Block]:
    """A block's lines as paragraphs and list items; words inside a table belong to it already."""
    styled: list[tuple[Line, float, bool]] = []
    for index, line in enumerate(block.get("lines", ())):
        kept = tuple(word for word in words.get((number, index), ()) if not any(_inside(word.box, area) for area in areas))
        if kept:
            size, bold = _style(line["spans"])
            box = kept[0].box
            for word in kept[1:]:
                box = box.union(word.box)
            styled.append((Line(box, kept), size, bold))
    groups: list[list[tuple[Line, float, bool]]] = []
    for line, size, bold in styled:
        changed = bool(groups) and (abs(groups[-1][-1][1] - size) > 0.6 or groups[-1][-1][2] != bold)  # noqa: PLR2004
        same_row = bool(groups) and _same_row(groups[-1][-1][0].box, line.box)
        if not groups or (not same_row and (changed or marked(line)[0] or _apart(groups[-1][-1][0].box, line.box))):
            groups.append([])
        groups[-1].append((line, size, bold))
    return [_block(group) for group in groups]


def _block(group: list[tuple[Line, float, bool]]) -> Block:
    lines = join_rows([line for line, _, _ in group])
    box = lines[0].box
    for line in lines[1:]:
        box = box.union(line.box)
    marker, first = marked(lines[0])
    sizes: Counter[float] = Counter()
    for line, size, _ in group:
        sizes[size] += len(line.text)
    return Block(
        kind="list_item" if marker else "paragraph",
        box=box,
        lines=(first, *lines[1:]) if marker else tuple(lines),
        marker=marker,
        font_size=max(sizes, key=lambda size: (sizes[size], size)),
        bold=all(bold for _, _, bold in group),
    )


def _same_row(left: BoundingBox, right: BoundingBox) -> bool:
    common = min(left.y1, right.y1) - max(left.y0, right.y0)
    return common > 0.5 * min(left.height, right.height)


def _apart(upper: BoundingBox, lower: BoundingBox) -> bool:
    """Whether more white stands between two lines than between lines of a paragraph."""
    return lower.y0 - upper.y1 > 0.9 * lower.height


def _style(spans: list[dict[str, Any]]) -> tuple[float, bool]:
    """The size in points of most of a line's characters, and whether all of it is bold."""
    sizes: Counter[float] = Counter()
    bold = True
    for span in spans:
        length = len(span["text"].strip())
        sizes[round(span["size"], 1)] += length
        bold = bold and (not length or bool(span["flags"] & _BOLD) or "bold" in span["font"].lower())
    return max(sizes, key=lambda size: sizes[size], default=0.0), bold


def _clean(text: str) -> str:
    """Ligatures spelled out, presentation forms made letters; nothing invisible."""
    if text.isascii():
        return text
    spelled = "".join(unicodedata.normalize("NFKC", c) if "\ufb00" <= c <= "\ufeff" else c for c in text)
    return "".join(c for c in spelled if c == "\u200d" or unicodedata.category(c) not in {"Cc", "Cf"} or c == "\xad").replace("\xad", "-")


def _box(rect: tuple[float, float, float, float], turn: Any) -> BoundingBox:
    if turn is not None:
        rect = tuple(pymupdf.Rect(rect) * turn)
    return BoundingBox(*(round(value, 2) for value in rect))


def _inside(word: BoundingBox, area: BoundingBox) -> bool:
    x, y = (word.x0 + word.x1) / 2, (word.y0 + word.y1) / 2
    return area.x0 <= x <= area.x1 and area.y0 <= y <= area.y1


def _tables(page: Any, turn: Any) -> list[tuple[Block, BoundingBox]]:
    """Ruled tables. Looking for them costs ten times the rest, so only a page with crossing rulings is looked at."""
    if not _has_grid(page.get_bboxlog()):
        return []
    found = []
    for table in page.find_tables(strategy="lines_strict").tables:
        rows = [[cell or "" for cell in row] for row in table.extract()]
        if len(rows) < 2 or len(rows[0]) < 2 or not any(cell.strip() for row in rows for cell in row):  # noqa: PLR2004
            continue
        area = _box(tuple(table.bbox), turn)
        found.append((Block(kind="table", box=area, table=Table(_html(rows))), area))
    return found


def _has_grid(log: list[tuple[str, tuple[float, float, float, float]]]) -> bool:
    across = down = paths = 0
    for kind, (x0, y0, x1, y1) in log:
        if kind not in {"stroke-path", "fill-path"}:
            continue
        paths += 1
        width, height = x1 - x0, y1 - y0
        across += (height <= _THIN and width >= _LONG) or (kind == "stroke-path" and width >= _LONG and height >= _LONG)
        down += (width <= _THIN and height >= _LONG / 2) or (kind == "stroke-path" and width >= _LONG and height >= _LONG)
    return across >= _LEAST_RULINGS and down >= _LEAST_RULINGS and paths <= _MOST_PATHS


def _html(rows: list[list[str]]) -> str:
    return (
        "<table>"
        + "".join(
            "<tr>" + "".join(f"<td>{html.escape(' '.join(cell.split()), quote=False)}</td>" for cell in row) + "</tr>" for row in rows
        )
        + "</table>"
    )
