"""Facts about a page that hold or do not: small, unambiguous statements in the vocabulary of olmOCR-Bench, one a line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from rapidfuzz import fuzz

from escriba.errors import ConfigurationError
from escriba.evaluation.tables import Cell, Table
from escriba.evaluation.texts import plain_text

_ALIKE = str.maketrans("‘’‚“”„＿–—‑‒−\u00b5", "'''\"\"\"_-----\u03bc")  # noqa: RUF001  (typographic and plain forms count as the same)
_LOOSEST = 0.5  # cells less alike than this are never the same

_Page = Annotated[int, msgspec.Meta(ge=1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Text = Annotated[str, msgspec.Meta(pattern=r"\S")]


class PageText(NamedTuple):
    """What a reader made of a page (or of a whole document): its Markdown or plain text, and its tables."""

    text: str
    markdown: bool
    tables: tuple[Table, ...]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """`page` from 1, absent for the whole document; `max_diffs` characters may differ. The other fields are the benchmark's bookkeeping."""

    page: _Page | None = None
    max_diffs: _Count = 0
    case_sensitive: bool = True
    first_n: _Count | None = None
    last_n: _Count | None = None
    id: str = ""
    pdf: str = ""
    url: str | None = None
    checked: str | None = None


class Present(_Fact, frozen=True, kw_only=True, tag="present"):
    """The text stands on the page; within its first or last characters, if `first_n` or `last_n` say so."""

    text: _Text


class Absent(_Fact, frozen=True, kw_only=True, tag="absent"):
    """The text does not stand there."""

    text: _Text


class Order(_Fact, frozen=True, kw_only=True, tag="order"):
    """Both texts stand on the page, `before` somewhere before `after`."""

    before: _Text
    after: _Text


class TableFact(_Fact, frozen=True, kw_only=True, tag="table"):
    """A table has this cell, and beside it (or at the head of its column or row) the cells named."""

    cell: _Text
    up: str = ""
    down: str = ""
    left: str = ""
    right: str = ""
    top_heading: str = ""
    left_heading: str = ""
    ignore_markdown_tables: bool = False


Fact = Present | Absent | Order | TableFact


class FactScore(msgspec.Struct, frozen=True):
    """Facts that hold, of how many; the lines (from 1) of those that do not."""

    passed: int
    total: int
    failed: tuple[int, ...]


def read_facts(path: Path) -> dict[int, Fact]:
    """The facts of a file by their line. Raises `ConfigurationError` naming file and line."""
    facts: dict[int, Fact] = {}
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the facts in {path}: {error}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                facts[number] = msgspec.json.decode(line, type=Fact)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                known = "present, absent, order or table, each with its own fields"
                raise ConfigurationError(f"{path}, line {number}, is no fact ({error}); a fact is {known}") from None
    return facts


def score_facts(facts: dict[int, Fact], page: Callable[[int | None], PageText]) -> FactScore:
    """Check each fact on its page; `page` gives what was read of one (None: the whole document)."""
    failed = tuple(line for line, fact in facts.items() if not holds(fact, page(fact.page)))
    return FactScore(len(facts) - len(failed), len(facts), failed)


def holds(fact: Fact, page: PageText) -> bool:
    """Whether a fact is true of what was read."""
    if isinstance(fact, TableFact):
        return any(_in_table(fact, table) for table in page.tables)
    text = _comparable(plain_text(page.text) if page.markdown else page.text, fact)
    if fact.first_n or fact.last_n:
        text = text[: fact.first_n or 0] + (text[-fact.last_n :] if fact.last_n else "")
    if isinstance(fact, Order):
        before, after = _comparable(fact.before, fact), _comparable(fact.after, fact)
        first_start, last_start = _first(before, text, fact.max_diffs), _last(after, text, fact.max_diffs)
        return first_start is not None and last_start is not None and first_start < last_start
    return (_find(_comparable(fact.text, fact), text, fact.max_diffs) is not None) == isinstance(fact, Present)


def _comparable(text: str, fact: Fact) -> str:
    text = unicodedata.normalize("NFC", re.sub(r"\s+", " ", text)).translate(_ALIKE).strip()
    return text if fact.case_sensitive else text.lower()


def _find(wanted: str, text: str, max_diffs: int) -> int | None:
    """Where the likest place of `text` begins, None when it is not like enough."""
    # Without this a text shorter than the wanted one would be looked for in it.
    if not text or len(text) < len(wanted) - max_diffs:
        return None
    if not max_diffs:
        return at if (at := text.find(wanted)) >= 0 else None
    place = fuzz.partial_ratio_alignment(wanted, text, score_cutoff=100 * max(0.0, 1 - max_diffs / len(wanted)))
    return None if place is None else place.dest_start


def _first(wanted: str, text: str, max_diffs: int) -> int | None:
    """Where the first place that is like enough begins."""
    first = at = _find(wanted, text, max_diffs)
    while at:
        # Half of a place found is not found again.
        at = _find(wanted, text[: at + len(wanted) // 2], max_diffs)
        first = first if at is None else at
    return first


def _last(wanted: str, text: str, max_diffs: int) -> int | None:
    """Where the last place that is like enough begins."""
    last = at = _find(wanted, text, max_diffs)
    while at is not None and last is not None:
        beyond = last + (len(wanted) + 1) // 2
        at = _find(wanted, text[beyond:], max_diffs)
        last = last if at is None else beyond + at
    return last


def _in_table(fact: TableFact, table: Table) -> bool:
    grid = _grid(table)
    return any(_like(fact.cell, cell.text, fact) and _placed(fact, grid, *place) for place, cell in grid.items())


def _placed(fact: TableFact, grid: dict[tuple[int, int], Cell], row: int, column: int) -> bool:
    sides = ((fact.up, (-1, 0)), (fact.down, (1, 0)), (fact.left, (0, -1)), (fact.right, (0, 1)))
    neighbours = [(wanted, [_beyond(grid, row, column, step)]) for wanted, step in sides]
    above = [grid[r, column] for r in range(row) if (r, column) in grid]
    before = [grid[row, c] for c in range(column) if (row, c) in grid]
    wanted = [*neighbours, (fact.top_heading, _headings(above)), (fact.left_heading, _headings(before))]
    return all(any(cell is not None and _like(text, cell.text, fact) for cell in cells) for text, cells in wanted if text)


def _beyond(grid: dict[tuple[int, int], Cell], row: int, column: int, step: tuple[int, int]) -> Cell | None:
    """The next cell in a direction; a cell that spans several fields is one."""
    here = grid[row, column]
    while (row, column) in grid and grid[row, column] is here:
        row, column = row + step[0], column + step[1]
    return grid.get((row, column))


def _headings(cells: Sequence[Cell]) -> list[Cell | None]:
    """Those that the table marks as headings, and the outermost that is not empty."""
    return [*(cell for cell in cells if cell.heading), next((cell for cell in cells if cell.text), None)]


def _grid(table: Table) -> dict[tuple[int, int], Cell]:
    """The cell of each field (row, column), spans laid out as a browser does."""
    grid: dict[tuple[int, int], Cell] = {}
    for row, cells in enumerate(table):
        column = 0
        for cell in cells:
            while (row, column) in grid:
                column += 1
            own = Cell(*cell)  # told from its like by identity
            for r in range(row, min(row + cell.rowspan, len(table))):
                for c in range(column, column + cell.colspan):
                    grid.setdefault((r, c), own)
    return grid


def _like(wanted: str, text: str, fact: TableFact) -> bool:
    wanted, text = _comparable(wanted, fact), _comparable(text, fact)
    return fuzz.ratio(wanted, text) / 100 >= max(_LOOSEST, 1 - fact.max_diffs / len(wanted))
