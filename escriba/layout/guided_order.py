"""Puts the lines that one engine read well into the order in which another, which sees the page's columns, read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from escriba.document import BoundingBox, Line
from escriba.layout.reading_order import reading_order

COLUMNAR = 0.25
"""Share of characters in columns from which a page is read by columns and not by rows."""
_COLUMN_LINES, _COLUMN_CHARACTERS = 6, 25
"""Lines and median characters a line of a column of running text; a table's columns and a form's fields are shorter."""
_LEADING = 1.5
"""White between two lines of a column, at most, in heights of the taller one."""
_HALF = 0.5
_SAME_WORD = 0.25
"""Share of a word's area that a word of the guide must cover to be the same."""


def share_in_columns(lines: Sequence[Line]) -> float:
    """Share (0 to 1) of the characters that stand in columns of running text with something else beside them; `lines` in reading order."""
    boxes = _array([line.box for line in lines])
    total = sum(len(line.text) for line in lines)
    inside = 0
    for column in _columns(lines):
        if len(column) >= _COLUMN_LINES and median(len(lines[i].text) for i in column) >= _COLUMN_CHARACTERS:
            inside += sum(len(lines[i].text) for i in column if _has_neighbour(boxes, i))
    return inside / total if total else 0.0


def _columns(lines: Sequence[Line]) -> Iterator[list[int]]:
    """Runs of lines each of which goes on closely below the one before."""
    run: list[int] = []
    for i, line in enumerate(lines):
        if run and not _goes_on(lines[run[-1]].box, line.box):
            yield run
            run = []
        run.append(i)
    if run:
        yield run


def _goes_on(above: BoundingBox, below: BoundingBox) -> bool:
    common = min(above.x1, below.x1) - max(above.x0, below.x0)
    white = below.y0 - above.y1
    return (
        below.y0 > above.y0
        and white < _LEADING * max(above.height, below.height)
        and common > _HALF * min(above.width, below.width)
        and below.y1 > above.y1
    )


def _has_neighbour(boxes: Any, i: int) -> bool:
    """Whether another line stands on the same height, to the left or right."""
    x0, y0, x1, y1 = boxes[i]
    heights = boxes[:, 3] - boxes[:, 1]
    level = np.minimum(boxes[:, 3], y1) - np.maximum(boxes[:, 1], y0) > _HALF * np.minimum(heights, y1 - y0)
    return bool((level & ((boxes[:, 0] > x1) | (boxes[:, 2] < x0))).any())


class _Part(NamedTuple):
    """Words of one line that the guide read together: `at` is their place in its order, None where it read nothing."""

    at: float | None
    line: Line


def ordered_by(lines: Sequence[Line], guide: Sequence[Line]) -> tuple[list[Line], float]:
    """`lines` in the order of `guide` (both with boxes in points), cut where the guide's lines end; and the share of words it knows.

    What the guide did not read stands beside its nearest neighbour. No word is lost; their order within a part is kept.
    """
    flat = [(place, word) for place, line in enumerate(guide) for word in line.words]
    known = _array([word.box for _, word in flat])
    places = [place for place, _ in flat]
    parts: list[_Part] = []
    words = found = 0
    for line in lines:
        homes = [_home(word.box, known) for word in line.words]
        words += len(homes)
        found += sum(home is not None for home in homes)
        parts += _parted(line, [None if home is None else (places[home], home) for home in homes])
    anchors = [part for part in parts if part.at is not None]
    if not anchors:
        return [lines[i] for i in reading_order([line.box for line in lines])], 0.0
    keyed = [(part.at if part.at is not None else _beside(part.line.box, anchors), n) for n, part in enumerate(parts)]
    return [parts[n].line for _, n in sorted(keyed)], found / words


def _home(box: BoundingBox, known: Any) -> int | None:
    """The guide's word that covers most of a box."""
    if not len(known):
        return None
    wide = np.minimum(known[:, 2], box.x1) - np.maximum(known[:, 0], box.x0)
    high = np.minimum(known[:, 3], box.y1) - np.maximum(known[:, 1], box.y0)
    common = wide.clip(0) * high.clip(0)
    best = int(common.argmax())
    return best if common[best] > _SAME_WORD * box.width * box.height else None


def _parted(line: Line, homes: Sequence[tuple[int, int] | None]) -> Iterator[_Part]:
    """The line cut between words that lie in different lines of the guide; words that it does not know go with those before them."""
    filled: list[int | None] = []
    for home in homes:
        filled.append(home[0] if home is not None else (filled[-1] if filled else None))
    first = next((place for place in filled if place is not None), None)
    filled = [first if place is None else place for place in filled]
    for _, group in groupby(range(len(homes)), key=lambda n: filled[n]):
        members = list(group)
        ats = [home[1] for n in members if (home := homes[n]) is not None]
        yield _Part(float(median(ats)) if ats else None, Line.of(line.words[n] for n in members))


def _beside(box: BoundingBox, anchors: Sequence[_Part]) -> float:
    """A place just before or after that of the nearest part the guide knows; white above or below counts double."""

    def distance(part: _Part) -> float:
        other = part.line.box
        across = max(box.x0 - other.x1, other.x0 - box.x1, 0.0)
        return across + 2 * max(box.y0 - other.y1, other.y0 - box.y1, 0.0)

    nearest = min(anchors, key=distance)
    other = nearest.line.box
    middle = (other.y0 + other.y1) / 2
    after = box.y0 > middle or (box.x0 > other.x0 and box.y1 > middle)
    return (nearest.at or 0.0) + (0.4 if after else -0.4)


def _array(boxes: Sequence[BoundingBox]) -> Any:
    """Shape (n, 4): x0, y0, x1, y1."""
    return np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=float).reshape(-1, 4)
