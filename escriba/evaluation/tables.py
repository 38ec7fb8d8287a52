"""How near tables are to their truth: TEDS as PubTabNet defines it, with and without the cells' text."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from escriba.evaluation.matching import best_partners
from escriba.evaluation.trees import edit_distance

_WIDEST = 1000  # columns that a cell may span
_PIPE = re.compile(r"(?<!\\)\|")


class Cell(NamedTuple):
    """A cell's text and spans; `heading` where it is a `<th>`."""

    text: str
    colspan: int = 1
    rowspan: int = 1
    heading: bool = False


Table = tuple[tuple[Cell, ...], ...]
"""Rows of cells."""


class TableScore(msgspec.Struct, frozen=True):
    """One true table: TEDS, TEDS of the structure alone, and whether a table was found for it (0 and 0 where not)."""

    teds: float
    struct: float
    matched: bool


def tables_in_html(text: str) -> list[Table]:
    """The outermost tables that have rows, in order."""
    parser = _Tables()
    parser.feed(text)
    parser.close()
    return [table for table in parser.finished() if table]


def tables_in_markdown(text: str) -> list[Table]:
    """HTML tables, then pipe tables."""
    tables, block = tables_in_html(text), list[list[str]]()
    for line in [*text.splitlines(), ""]:
        row = line.strip()
        if row.startswith("|") and row.count("|") > 1:
            inside = row.strip("|") if row.endswith("|") else row[1:]
            block.append([re.sub(r"<br\s*/?>", " ", cell).replace("\\|", "|").strip(" *") for cell in _PIPE.split(inside)])
            continue
        if len(block) > 1 and all(re.fullmatch(r"\s*:?-+:?\s*", cell) for cell in block[1]):
            tables.append(_plain([block[0], *block[2:]]))
        block = []
    return tables


def tables_in_json(value: Any) -> list[Table]:
    """Every object, at any depth, that is a table by its `type` or holds nothing but `html`; a list of HTML strings too."""
    if isinstance(value, str):
        return tables_in_html(value)
    if isinstance(value, list):
        return [table for item in value for table in tables_in_json(item)]
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("html"), str) and (value.get("type") == "table" or len(value) == 1):
        return tables_in_html(value["html"])
    return [table for item in value.values() if isinstance(item, (list, dict)) for table in tables_in_json(item)]


def table_in_csv(text: str) -> Table:
    """One table; empty rows are no rows."""
    return _plain([row for row in csv.reader(io.StringIO(text, newline="")) if any(cell.strip() for cell in row)])


def teds(read: Table, truth: Table) -> tuple[float, float]:
    """TEDS and TEDS-struct of two tables, 0 to 1: 1 - edit distance / nodes of the larger one (its rows and cells)."""
    nodes = max(_nodes(read), _nodes(truth))
    if not nodes:
        return 1.0, 1.0
    (read_left, shape, texts), (left, true_shape, true_texts) = _tree(read), _tree(truth)
    # Renaming costs 1 where tag or spans differ, else the distance of the texts; rows and tables have none.
    unlike = (shape[:, None, :] != true_shape[None, :, :]).any(axis=2)
    apart = np.asarray(cdist(texts, true_texts, scorer=Levenshtein.normalized_distance, dtype=np.float64))
    full, struct = (edit_distance(read_left, left, np.where(unlike, 1.0, costs)) for costs in (apart, 0.0))
    return max(0.0, 1 - full / nodes), max(0.0, 1 - struct / nodes)


def score_tables(read: Sequence[Table], truths: Sequence[Table], *, complete: bool) -> tuple[TableScore, ...]:
    """One score a true table, each read table given to at most one.

    With `complete` false the single truth may run over several printed tables, or cover only one of them: the better of the likest table
    and of all tables one under the other counts.
    """
    if not complete and read:
        likest = max(read, key=lambda table: _likeness(table, truths[0]))
        joined = tuple(row for table in read for row in table)
        candidates = [likest] if len(read) == 1 else [likest, joined]
        return (TableScore(*max(teds(table, truths[0]) for table in candidates), matched=True),)
    partners = best_partners([[_likeness(table, truth) for table in read] for truth in truths])
    return tuple(
        TableScore(0.0, 0.0, matched=False) if partner is None else TableScore(*teds(read[partner], truth), matched=True)
        for truth, partner in zip(truths, partners, strict=True)
    )


def _plain(rows: Sequence[Sequence[str]]) -> Table:
    return tuple(tuple(Cell(_clean(text)) for text in row) for row in rows)


def _clean(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _nodes(table: Table) -> int:
    return len(table) + sum(len(row) for row in table)


def _tree(table: Table) -> tuple[list[int], npt.NDArray[np.int64], list[str]]:
    """The table's nodes in post-order: leftmost leaves, (tag, colspan, rowspan) and texts."""
    left, shapes, texts = list[int](), list[tuple[int, int, int]](), list[str]()
    for row in table:
        first = len(left)
        left += range(first, first + len(row))
        shapes += [(0, cell.colspan, cell.rowspan) for cell in row]
        texts += [cell.text for cell in row]
        left.append(first)
        shapes.append((1, 1, 1))
        texts.append("")
    return [*left, 0], np.array([*shapes, (2, 1, 1)]), [*texts, ""]


def _likeness(read: Table, truth: Table) -> float:
    """F1 of the words, and a little for like size, so that tables of empty cells are paired too."""
    bag, bag_read = _words(truth), _words(read)
    words = bag.total() + bag_read.total()
    size = min(_nodes(read), _nodes(truth)) / max(_nodes(read), _nodes(truth), 1)
    return (2 * (bag & bag_read).total() / words if words else 1.0) + 0.01 * size


def _words(table: Table) -> Counter[str]:
    return Counter(word for row in table for cell in row for word in cell.text.lower().split())


class _Tables(HTMLParser):
    """Gathers the rows of outermost tables; what stands in a table within a cell is that cell's text."""

    def __init__(self) -> None:
        super().__init__()
        self._tables: list[list[list[Cell]]] = []
        self._depth = 0
        self._cell: list[str] | None = None
        self._spans = (1, 1)
        self._heading = False

    def finished(self) -> Iterator[Table]:
        """The tables, unclosed ones too."""
        self._end_cell()
        return (tuple(tuple(row) for row in table) for table in self._tables)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
            if self._depth == 1:
                self._tables.append([])
        if self._depth != 1:
            return
        if tag in {"tr", "td", "th"}:
            self._end_cell()
        if tag == "tr":
            self._tables[-1].append([])
        elif tag in {"td", "th"}:
            if not self._tables[-1]:
                self._tables[-1].append([])
            given = dict(attrs)
            self._cell, self._heading, self._spans = [], tag == "th", (_span(given.get("colspan")), _span(given.get("rowspan")))
        elif tag == "br" and self._cell is not None:
            self._cell.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table" and self._depth:
            if self._depth == 1:
                self._end_cell()
            self._depth -= 1
        elif tag in {"tr", "td", "th"} and self._depth == 1:
            self._end_cell()

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def _end_cell(self) -> None:
        if self._cell is not None:
            self._tables[-1][-1].append(Cell(_clean("".join(self._cell)), *self._spans, heading=self._heading))
            self._cell = None


def _span(value: str | None) -> int:
    try:
        return min(max(int(value or "1"), 1), _WIDEST)
    except ValueError:
        return 1
