"""Ruled tables of a PDF page for the text-layer engine: its drawn lines, the cells between them, and the words in the cells."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

from escriba.document import Block, BoundingBox, Line, Table, Word
from escriba.layout.grids import Cell, Grid, Rule, find_grids
from escriba.layout.reading_order import rows

_THIN, _LONG = 3.0, 8.0  # points: what counts as a line
_LEAST_LINES, _MOST_DRAWINGS = 3, 6000
_LEAST_FILLED = 0.3
"""Share of cells with text below which a grid is a form's or a drawing's, not a table's."""


def find_tables(page: Any, words: Sequence[Word]) -> list[tuple[Block, frozenset[int]]]:
    """The page's tables (boxes in points, before the page's rotation) and, for each, the indices of `words` that it holds."""
    if not _worth_a_look(page.get_bboxlog()):
        return []
    across: list[Rule] = []
    down: list[Rule] = []
    for x0, y0, x1, y1 in _lines(page.get_cdrawings()):
        if y1 - y0 <= _THIN and x1 - x0 >= _LONG:
            across.append(Rule((y0 + y1) / 2, x0, x1))
        elif x1 - x0 <= _THIN and y1 - y0 >= _LONG:
            down.append(Rule((x0 + x1) / 2, y0, y1))
    return [table for grid in find_grids(across, down) if (table := _table(grid, words)) is not None]


def _worth_a_look(log: list[tuple[str, tuple[float, float, float, float]]]) -> bool:
    """A cheap glance: lines both ways, or paths that may hold several, and not the thousands of a chart or map."""
    across = down = paths = 0
    for kind, (x0, y0, x1, y1) in log:
        if kind in {"stroke-path", "fill-path"}:
            paths += 1
            wide, high = x1 - x0, y1 - y0
            boxy = kind == "stroke-path" and wide >= _LONG and high >= _LONG
            across += boxy or (high <= _THIN and wide >= _LONG)
            down += boxy or (wide <= _THIN and high >= _LONG)
    return across >= _LEAST_LINES and down >= _LEAST_LINES and paths <= _MOST_DRAWINGS


def _lines(drawings: list[dict[str, Any]]) -> Iterator[tuple[float, float, float, float]]:
    """Every straight line and the sides of every stroked rectangle, as boxes."""
    for drawing in drawings:
        stroked = "s" in drawing["type"]
        for item in drawing["items"]:
            if item[0] == "l" and stroked:
                (ax, ay), (bx, by) = item[1], item[2]
                yield min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)
            elif item[0] == "re":
                x0, y0, x1, y1 = item[1]
                if x1 - x0 <= _THIN or y1 - y0 <= _THIN:
                    yield x0, y0, x1, y1
                elif stroked:
                    yield from ((x0, y0, x1, y0), (x0, y1, x1, y1), (x0, y0, x0, y1), (x1, y0, x1, y1))


def _table(grid: Grid, words: Sequence[Word]) -> tuple[Block, frozenset[int]] | None:
    inside: dict[Cell, list[int]] = {cell: [] for cell in grid.cells}
    bounds = BoundingBox(*(round(v, 2) for v in grid.bounds))
    for n, word in enumerate(words):
        x, y = (word.box.x0 + word.box.x1) / 2, (word.box.y0 + word.box.y1) / 2
        if bounds.x0 <= x <= bounds.x1 and bounds.y0 <= y <= bounds.y1:
            home = next((cell for cell in grid.cells if cell.x0 <= x <= cell.x1 and cell.y0 <= y <= cell.y1), None)
            if home is not None:
                inside[home].append(n)
    filled = sum(bool(members) for members in inside.values())
    if filled < max(3, _LEAST_FILLED * len(inside)):
        return None
    boxes = [word.box for word in words]
    lines: list[Line] = []
    texts: dict[Cell, str] = {}
    for cell, members in inside.items():
        ordered = [[words[n] for n in row] for row in rows(boxes, members)]
        texts[cell] = " ".join(word.text for row in ordered for word in row)
        lines += [Line.of(row) for row in ordered]
    block = Block(kind="table", box=bounds, lines=tuple(lines), table=Table(_html(texts)))
    return block, frozenset(n for members in inside.values() for n in members)


def _html(texts: dict[Cell, str]) -> str:
    out, row = ["<table>"], -1
    for cell, text in texts.items():
        if cell.row != row:
            out.append("<tr>" if row < 0 else "</tr><tr>")
            row = cell.row
        spans = (f' rowspan="{cell.rows}"' if cell.rows > 1 else "") + (f' colspan="{cell.columns}"' if cell.columns > 1 else "")
        out.append(f"<td{spans}>{html.escape(text, quote=False)}</td>")
    return "".join([*out, "</tr></table>"])
