"""Puts boxes on a page into the order in which a person reads them: bands from top to bottom, columns in a band from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from escriba.document import BoundingBox

_MIN_GAP = 0.8
"""Width of the white between two columns, in median box heights."""
_MIN_COLUMN_SHARE = 0.22
"""Median box width in a column, as a share of the column's region: narrower boxes are cells of rows, not lines of a column."""
_MIN_BOXES = 2


def reading_order(boxes: Sequence[BoundingBox]) -> list[int]:
    """Indices of `boxes` in reading order; a permutation, whatever the boxes."""
    return _order(boxes, list(range(len(boxes))))


def rows(boxes: Sequence[BoundingBox], indices: Sequence[int]) -> list[list[int]]:
    """Boxes that stand side by side (half of the lower one's height in common), top to bottom, each row left to right."""
    found: list[list[int]] = []
    bottom = top = 0.0
    for i in sorted(indices, key=lambda i: (boxes[i].y0 + boxes[i].y1, boxes[i].x0)):
        box = boxes[i]
        common = min(bottom, box.y1) - max(top, box.y0)
        if found and common > 0.5 * min(bottom - top, box.height):
            found[-1].append(i)
            top, bottom = min(top, box.y0), max(bottom, box.y1)
        else:
            found.append([i])
            top, bottom = box.y0, box.y1
    return [sorted(row, key=lambda i: boxes[i].x0) for row in found]


def _order(boxes: Sequence[BoundingBox], indices: list[int]) -> list[int]:
    if len(indices) <= 1:
        return indices
    columns = _columns(boxes, indices)
    if len(columns) > 1:
        return [i for column in columns for i in _order(boxes, column)]
    ordered: list[int] = []
    for band in _bands(boxes, indices):
        columns = _columns(boxes, band)
        if len(columns) > 1:
            ordered += [i for column in columns for i in _order(boxes, column)]
        else:
            ordered += [i for row in rows(boxes, band) for i in row]
    return ordered


def _bands(boxes: Sequence[BoundingBox], indices: list[int]) -> list[list[int]]:
    """Cut where white runs across, then join neighbours that have columns in common: their lines are not to be read across."""
    strips: list[list[int]] = []
    bottom = float("-inf")
    for i in sorted(indices, key=lambda i: boxes[i].y0):
        if boxes[i].y0 >= bottom or not strips:
            strips.append([i])
        else:
            strips[-1].append(i)
        bottom = max(bottom, boxes[i].y1)
    bands = [strips[0]]
    gaps = _gaps(boxes, strips[0])
    for strip in strips[1:]:
        strip_gaps = _gaps(boxes, strip)
        common = _intersect(gaps, strip_gaps, _span(boxes, bands[-1]), _span(boxes, strip))
        if common:
            bands[-1] += strip
            gaps = common
        else:
            bands.append(strip)
            gaps = strip_gaps
    return bands


def _span(boxes: Sequence[BoundingBox], indices: list[int]) -> tuple[float, float]:
    return min(boxes[i].x0 for i in indices), max(boxes[i].x1 for i in indices)


def _intersect(
    one: list[tuple[float, float]], two: list[tuple[float, float]], span_one: tuple[float, float], span_two: tuple[float, float]
) -> list[tuple[float, float]]:
    """White that both strips have; beside a strip's boxes everything is white, so a short last line does not end its column."""
    endless = float("inf")
    one = [(-endless, span_one[0]), *one, (span_one[1], endless)]
    two = [(-endless, span_two[0]), *two, (span_two[1], endless)]
    left, right = min(span_one[0], span_two[0]), max(span_one[1], span_two[1])
    found = [(max(a, c), min(b, d)) for a, b in one for c, d in two if min(b, d) > max(a, c)]
    return [(a, b) for a, b in found if a > left and b < right]


def _gaps(boxes: Sequence[BoundingBox], indices: list[int]) -> list[tuple[float, float]]:
    """Vertical strips of white through the boxes, wide enough to part columns."""
    least = _MIN_GAP * median(boxes[i].height for i in indices)
    found = []
    right = float("-inf")
    for i in sorted(indices, key=lambda i: boxes[i].x0):
        if right != float("-inf") and boxes[i].x0 - right >= least:
            found.append((right, boxes[i].x0))
        right = max(right, boxes[i].x1)
    return found


def _columns(boxes: Sequence[BoundingBox], indices: list[int]) -> list[list[int]]:
    """The boxes parted at the white strips that separate columns of running text; one list when there are none."""
    edges = [a for a, _ in _gaps(boxes, indices)]
    if not edges:
        return [indices]
    columns: list[list[int]] = [[] for _ in range(len(edges) + 1)]
    for i in sorted(indices, key=lambda i: (boxes[i].y0, boxes[i].x0)):
        columns[sum(boxes[i].x0 > edge for edge in edges)].append(i)
    left, right = _span(boxes, indices)
    enough = _MIN_COLUMN_SHARE * (right - left) * 2 / len(columns)
    if all(len(c) >= _MIN_BOXES and median(boxes[i].width for i in c) >= enough for c in columns) or _single_blocks(boxes, columns):
        return columns
    return [indices]


def _single_blocks(boxes: Sequence[BoundingBox], columns: list[list[int]]) -> bool:
    """Columns may also be a few tall boxes, each a paragraph of several lines."""
    tall = 4 * median(boxes[i].height for column in columns for i in column)
    return all(any(boxes[i].height >= tall for i in column) for column in columns)
