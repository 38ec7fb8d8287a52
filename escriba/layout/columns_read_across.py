"""Finds lines that may be several columns read as one: pure geometry of the words, for evidence and for the crops that are sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from escriba.document import Line

_GAP = 1.2
"""White between two words, in heights of their line, from which they may stand in two columns."""
_ROWS = 3  # lines one below the other whose white lies above each other: fewer may be chance
_NEXT_ROW = 3.0  # heights of a line within which the next row of a table begins
_A_WORD = 3  # letters


class White(NamedTuple):
    """White from `x0` to `x1` (points) between two words of a line, named by its place."""

    line: int
    x0: float
    x1: float


def wide_whites(lines: Sequence[Line]) -> Iterator[White]:
    """White within lines that is wide enough to part columns."""
    for i, line in enumerate(lines):
        for left, right in pairwise(sorted(line.words, key=lambda word: word.box.x0)):
            if right.box.x0 - left.box.x1 >= _GAP * line.box.height:
                yield White(i, left.box.x1, right.box.x0)


def tabular_share(lines: Sequence[Line], whites: Sequence[White]) -> float:
    """Share (0 to 1) of the lines whose words are parted by white that goes on over three lines or more: a table's columns."""
    rows = sorted(whites, key=lambda white: (lines[white.line].box.y0, white.x0))
    run = dict.fromkeys(rows, 1)
    above: dict[White, White] = {}
    for place, white in enumerate(rows):
        for upper in reversed(rows[:place]):
            if lines[white.line].box.y0 - lines[upper.line].box.y1 > _NEXT_ROW * lines[white.line].box.height:
                break
            if _goes_on(lines, upper, white) and run[upper] >= run[white]:
                run[white], above[white] = run[upper] + 1, upper
    standing: set[int] = set()
    for white in rows:
        step: White | None = white if run[white] >= _ROWS else None
        while step is not None:
            standing.add(step.line)
            step = above.get(step)
    return len(standing) / len(lines) if lines else 0.0


def _goes_on(lines: Sequence[Line], upper: White, lower: White) -> bool:
    one, other = lines[upper.line].box, lines[lower.line].box
    return other.y0 > (one.y0 + one.y1) / 2 and min(upper.x1, lower.x1) - max(upper.x0, lower.x0) >= other.height


def lines_across(lines: Sequence[Line]) -> set[int]:
    """The places of the lines that one gutter parts, that which parts most, with words on both its sides."""
    whites = [white for white in wide_whites(lines) if _has_words(lines[white.line], white)]
    # Where most intervals overlap, one of them begins.
    gutters = ({other.line for other in whites if other.x0 <= white.x0 < other.x1} for white in whites)
    return max(gutters, key=lambda parted: (len(parted), sorted(parted)), default=set())


def across_share(lines: Sequence[Line]) -> float:
    """Share (0 to 1) of the characters that stand in `lines_across`."""
    total = sum(len(line.text) for line in lines)
    return sum(len(lines[i].text) for i in lines_across(lines)) / total if total else 0.0


def _has_words(line: Line, white: White) -> bool:
    left = sum(c.isalpha() for word in line.words if word.box.x1 <= white.x0 for c in word.text)
    right = sum(c.isalpha() for word in line.words if word.box.x0 >= white.x1 for c in word.text)
    return min(left, right) >= _A_WORD
