"""Tables of every form (HTML, pipes, OTSL) as one `<table>` each: text-only cells with their spans, and nothing that acts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from escriba.models.text import TAG, Unparsable, plain, visible
from escriba.vision import Said

WIDEST = 1000
"""Columns or rows that a cell may span, as in HTML."""

_SPAN = re.compile(r"(rowspan|colspan)\s*=\s*[\"']?\s*([0-9]{1,4})(?![0-9])", re.IGNORECASE)
_PIPE = re.compile(r"(?<!\\)\|")
_DASHES = re.compile(r"\s*:?-+:?\s*")
_PARTS = frozenset({"thead", "tbody", "tfoot", "colgroup", "col"})
_INNER = frozenset({"table", "tr", "td", "th", "caption", *_PARTS})

Box = tuple[float, float, float, float]


class Cell(NamedTuple):
    """A cell's text and spans; `heading` where it is a `<th>`."""

    text: str
    rowspan: int = 1
    colspan: int = 1
    heading: bool = False


def said(rows: Iterable[Sequence[Cell]], box: Box | None = None) -> Said:
    """The rows as a piece of an answer. Raises `Unparsable` for a table without cells."""
    kept = [row for row in rows if row]
    if not kept:
        raise Unparsable("the answer has a table without cells")
    out, texts = ["<table>"], []
    for number, row in enumerate(kept):
        cells = [cell._replace(text=" ".join(cell.text.split()), rowspan=min(cell.rowspan, len(kept) - number)) for cell in row]
        out.append(f"<tr>{''.join(map(_cell, cells))}</tr>")
        texts.append("\t".join(cell.text for cell in cells))
    return Said("table", "\n".join(texts), html="".join([*out, "</table>"]), box=box)


def from_html(fragment: str, box: Box | None = None) -> list[Said]:
    """One `<table>` from its first character to its last, with its caption before it; tables within cells become their text.

    Raises `Unparsable` when it does not end, has no cells or has text outside them.
    """
    reader = _Reader()
    at = 0
    fragment = visible(fragment)
    for tag in TAG.finditer(fragment):
        reader.text(fragment[at : tag.start()])
        reader.tag(tag.group(2).lower(), tag.group(), closing=bool(tag.group(1)))
        at = tag.end()
    reader.text(fragment[at:])
    if reader.depth or not reader.rows:
        raise Unparsable("the answer has a table that breaks off" if reader.depth else "the answer has a table without cells")
    return [*([Said("paragraph", reader.caption)] if reader.caption else []), said(reader.rows, box)]


def from_pipes(lines: Sequence[str]) -> Said:
    """A pipe table: its head, its dashes, its rows; cells beyond the head's are kept. Raises `Unparsable`."""
    rows = [_split(line) for line in lines]
    if len(rows) < 2 or not all(_DASHES.fullmatch(cell) for cell in rows[1]):  # noqa: PLR2004  (a head and its dashes)
        raise Unparsable("the answer has a table without a head")
    head = [Cell(plain(text), heading=True) for text in rows[0]]
    return said([head, *([Cell(plain(text)) for text in row] for row in rows[2:])])


class _Reader:
    """Gathers the rows of the outermost table."""

    def __init__(self) -> None:
        self.rows: list[list[Cell]] = []
        self.caption = ""
        self.depth = 0
        self._cell: list[str] | None = None
        self._shape = (1, 1, False)
        self._in_caption = False

    def text(self, text: str) -> None:
        if self._cell is not None:
            self._cell.append(text)
        elif text.strip():
            raise Unparsable("the answer has a table with text outside its cells")

    def tag(self, name: str, raw: str, *, closing: bool) -> None:
        if name == "table":
            self._close() if self.depth == 1 and closing else self.text(" " if self.depth else "")
            self.depth += -1 if closing else 1
            if self.depth < 0:
                raise Unparsable("the answer has a table that ends twice")
        elif name not in _INNER or self.depth != 1:
            if self._cell is not None:
                self._cell.append(" " if name in _INNER else raw)
        elif name in {"td", "th", "caption"}:
            self._close()
            if not closing:
                self._open(name, raw)
        else:
            self._close()
            if name == "tr" and not closing:
                self.rows.append([])

    def _open(self, name: str, raw: str) -> None:
        spans = {kind.lower(): min(max(int(value), 1), WIDEST) for kind, value in _SPAN.findall(raw)}
        self._shape = (spans.get("rowspan", 1), spans.get("colspan", 1), name == "th")
        self._cell, self._in_caption = [], name == "caption"

    def _close(self) -> None:
        if self._cell is None:
            return
        text, self._cell = plain("".join(self._cell)), None
        if self._in_caption:
            self.caption = text
            return
        if not self.rows:
            self.rows.append([])
        self.rows[-1].append(Cell(text, *self._shape))


def _cell(cell: Cell) -> str:
    name = "th" if cell.heading else "td"
    spans = (f' rowspan="{cell.rowspan}"' if cell.rowspan > 1 else "") + (f' colspan="{cell.colspan}"' if cell.colspan > 1 else "")
    return f"<{name}{spans}>{html.escape(cell.text, quote=False)}</{name}>"


def _split(line: str) -> list[str]:
    inside = line.strip().removeprefix("|")
    if inside.endswith("|") and not inside.endswith("\\|"):
        inside = inside[:-1]
    return [cell.replace("\\|", "|") for cell in _PIPE.split(inside)]
