"""Finds ruled tables from the lines drawn on a page: pure geometry, fast enough to look at every page that has crossing lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_NEAR = 3.0
"""Points within which two lines are one, or touch."""
_LEAST_LINES = 2


@dataclass(frozen=True)
class Rule:
    """A straight line along one axis, in points: `at` across it, from `start` to `end` along it."""

    at: float
    start: float
    end: float


@dataclass(frozen=True)
class Cell:
    """A cell of a grid, spanning `rows` and `columns`; its rectangle in points."""

    row: int
    column: int
    rows: int
    columns: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Grid:
    """A table's cells, row by row."""

    cells: tuple[Cell, ...]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        return (
            min(c.x0 for c in self.cells),
            min(c.y0 for c in self.cells),
            max(c.x1 for c in self.cells),
            max(c.y1 for c in self.cells),
        )


def find_grids(across: Iterable[Rule], down: Iterable[Rule]) -> list[Grid]:
    """Tables of at least two rows and two columns, from horizontal (`at` is y) and vertical (`at` is x) lines; top to bottom."""
    horizontal, vertical = _joined(across), _joined(down)
    grids = [grid for h, v in _connected(horizontal, vertical) if (grid := _grid(h, v)) is not None]
    return sorted(grids, key=lambda grid: grid.bounds[1])


def _joined(rules: Iterable[Rule]) -> list[Rule]:
    """Lines that continue or cover each other made one."""
    joined: list[Rule] = []
    for rule in sorted(rules, key=lambda r: (round(r.at / _NEAR), r.start)):
        last = joined[-1] if joined else None
        if last is not None and abs(last.at - rule.at) <= _NEAR and rule.start <= last.end + _NEAR:
            joined[-1] = Rule(last.at, last.start, max(last.end, rule.end))
        else:
            joined.append(rule)
    return joined


def _meet(h: Rule, v: Rule) -> bool:
    return h.start - _NEAR <= v.at <= h.end + _NEAR and v.start - _NEAR <= h.at <= v.end + _NEAR


def _connected(horizontal: Sequence[Rule], vertical: Sequence[Rule]) -> list[tuple[list[Rule], list[Rule]]]:
    """Groups of lines that hang together by their crossings."""
    left = set(range(len(horizontal)))
    loose = set(range(len(vertical)))
    groups = []
    while left:
        hs, vs, fresh = {left.pop()}, set[int](), True
        while fresh:
            new_vs = {j for j in loose if any(_meet(horizontal[i], vertical[j]) for i in hs)}
            new_hs = {i for i in left if any(_meet(horizontal[i], vertical[j]) for j in vs | new_vs)}
            fresh = bool(new_vs or new_hs)
            vs |= new_vs
            hs |= new_hs
            loose -= new_vs
            left -= new_hs
        if len(hs) >= _LEAST_LINES and len(vs) >= _LEAST_LINES:
            groups.append(([horizontal[i] for i in hs], [vertical[j] for j in vs]))
    return groups


def _positions(rules: Sequence[Rule]) -> list[float]:
    found: list[float] = []
    for at in sorted(rule.at for rule in rules):
        if not found or at - found[-1] > _NEAR:
            found.append(at)
    return found


def _grid(horizontal: Sequence[Rule], vertical: Sequence[Rule]) -> Grid | None:
    ys, xs = _positions(horizontal), _positions(vertical)
    if len(ys) <= _LEAST_LINES or len(xs) <= _LEAST_LINES:
        return None
    rows, columns = len(ys) - 1, len(xs) - 1
    regions = _Regions((r, c) for r in range(rows) for c in range(columns))
    for r, c in list(regions.members()):
        if c + 1 < columns and not _drawn(vertical, xs[c + 1], (ys[r] + ys[r + 1]) / 2):
            regions.join((r, c), (r, c + 1))
        if r + 1 < rows and not _drawn(horizontal, ys[r + 1], (xs[c] + xs[c + 1]) / 2):
            regions.join((r, c), (r + 1, c))
    cells = []
    for members in regions.parted():
        r0, c0 = min(r for r, _ in members), min(c for _, c in members)
        r1, c1 = max(r for r, _ in members) + 1, max(c for _, c in members) + 1
        if (r1 - r0) * (c1 - c0) != len(members):
            return None  # lines that enclose no rectangles are a drawing, not a table
        cells.append(Cell(r0, c0, r1 - r0, c1 - c0, xs[c0], ys[r0], xs[c1], ys[r1]))
    return Grid(tuple(sorted(cells, key=lambda cell: (cell.row, cell.column))))


class _Regions:
    """Fields of a grid, joined where no line parts them."""

    def __init__(self, fields: Iterable[tuple[int, int]]) -> None:
        self._home = {field: field for field in fields}

    def members(self) -> Iterable[tuple[int, int]]:
        return self._home.keys()

    def join(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        self._home[self._root(other)] = self._root(one)

    def parted(self) -> Iterable[list[tuple[int, int]]]:
        regions: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for field in self._home:
            regions.setdefault(self._root(field), []).append(field)
        return regions.values()

    def _root(self, field: tuple[int, int]) -> tuple[int, int]:
        while self._home[field] != field:
            field = self._home[field]
        return field


def _drawn(rules: Sequence[Rule], at: float, along: float) -> bool:
    return any(abs(rule.at - at) <= _NEAR and rule.start - _NEAR <= along <= rule.end + _NEAR for rule in rules)
