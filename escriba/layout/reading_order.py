"""Puts boxes on a page into the order in which a person reads them: bands from top to bottom, columns in a band from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from escriba.document import BoundingBox

_MIN_GAP = 0.8
"""White between two columns, in line heights."""
_RUNNING_WIDTH, _RUNNING_LINES = 10.0, 6
"""Median width, in line heights, and lines of running text: narrower or fewer are the cells of rows."""
_MIN_LINES = 3
"""Lines of whatever stands beside running text: less belongs to its rows."""
_FOLLOWS = 1.3
"""White, in line heights, up to which a strip goes on with the column above it."""
_SAME_ROW = 0.4
"""How far apart the middles of two boxes in a row may be, in heights of the lower one."""
_BESIDE = 0.5
"""Share of the narrower box's width from which two boxes stand one above the other, whatever their middles say."""

_Gap = tuple[float, float]
_ENDLESS = float("inf")


def reading_order(boxes: Sequence[BoundingBox], line_height: float = 0.0) -> list[int]:
    """Indices of `boxes` in reading order; a permutation, whatever the boxes.

    `line_height` (points) tells paragraphs of several lines from lines; by default each box is a line.
    """
    return _Region(boxes, line_height or (median(box.height for box in boxes) if boxes else 1.0)).order(list(range(len(boxes))))


def rows(boxes: Sequence[BoundingBox], indices: Sequence[int]) -> list[list[int]]:
    """Boxes that stand side by side, top to bottom, each row left to right; a tall box (a stamp, a seal) draws no others into its row."""
    found: list[list[int]] = []
    for i in sorted(indices, key=lambda i: (boxes[i].y0 + boxes[i].y1, boxes[i].x0)):
        if found and _joins(boxes[i], [boxes[j] for j in found[-1]]):
            found[-1].append(i)
        else:
            found.append([i])
    return [sorted(row, key=lambda i: boxes[i].x0) for row in found]


def _joins(box: BoundingBox, row: list[BoundingBox]) -> bool:
    apart = abs(box.y0 + box.y1 - median(other.y0 + other.y1 for other in row)) / 2
    if apart >= _SAME_ROW * min(box.height, *(other.height for other in row)):
        return False
    return not any(min(box.x1, o.x1) - max(box.x0, o.x0) > _BESIDE * min(box.width, o.width) for o in row)


class _Region:
    """The boxes of a page, cut again and again into columns and bands."""

    def __init__(self, boxes: Sequence[BoundingBox], line: float) -> None:
        self._boxes, self._line = boxes, line

    def order(self, indices: list[int]) -> list[int]:
        if len(indices) <= 1:
            return indices
        columns = self._columns(indices)
        if len(columns) > 1:
            return [i for column in columns for i in self.order(column)]
        ordered: list[int] = []
        for band in self._bands(indices):
            columns = self._columns(band)
            if len(columns) > 1:
                ordered += [i for column in columns for i in self.order(column)]
            else:
                ordered += [i for row in rows(self._boxes, band) for i in row]
        return ordered

    def _bands(self, indices: list[int]) -> list[list[int]]:
        """Cut where white runs across, then join neighbours that have columns in common: their lines are not to be read across."""
        strips = self._strips(indices)
        bands, gaps = [strips[0]], self._gaps(strips[0])
        for strip in strips[1:]:
            strip_gaps = self._gaps(strip)
            common = self._common(gaps, strip_gaps, bands[-1], strip)
            white = min(self._boxes[i].y0 for i in strip) - max(self._boxes[i].y1 for i in bands[-1])
            # A strip in one column only goes on with it when it follows closely; what stands above columns is their title.
            if gaps and common and (strip_gaps or white <= _FOLLOWS * self._line):
                bands[-1] += strip
                gaps = common
            else:
                bands.append(strip)
                gaps = strip_gaps
        return bands

    def _strips(self, indices: list[int]) -> list[list[int]]:
        """Boxes between white that runs across the whole region, top to bottom."""
        strips: list[list[int]] = []
        bottom = -_ENDLESS
        for i in sorted(indices, key=lambda i: self._boxes[i].y0):
            if self._boxes[i].y0 >= bottom or not strips:
                strips.append([i])
            else:
                strips[-1].append(i)
            bottom = max(bottom, self._boxes[i].y1)
        return strips

    def _common(self, one: list[_Gap], two: list[_Gap], above: list[int], below: list[int]) -> list[_Gap]:
        """White that both have; beside a strip's boxes everything is white, so a short last line does not end its column."""
        (left_one, right_one), (left_two, right_two) = self._span(above), self._span(below)
        one = [(-_ENDLESS, left_one), *one, (right_one, _ENDLESS)]
        two = [(-_ENDLESS, left_two), *two, (right_two, _ENDLESS)]
        left, right = min(left_one, left_two), max(right_one, right_two)
        found = [(max(a, c), min(b, d)) for a, b in one for c, d in two if min(b, d) > max(a, c)]
        return [(a, b) for a, b in found if a > left and b < right]

    def _gaps(self, indices: list[int]) -> list[_Gap]:
        """Vertical strips of white through the boxes, wide enough to part columns."""
        found: list[_Gap] = []
        right = -_ENDLESS
        for i in sorted(indices, key=lambda i: self._boxes[i].x0):
            if right > -_ENDLESS and self._boxes[i].x0 - right >= _MIN_GAP * self._line:
                found.append((right, self._boxes[i].x0))
            right = max(right, self._boxes[i].x1)
        return found

    def _columns(self, indices: list[int]) -> list[list[int]]:
        """The boxes parted at the white strips beside running text; one list when there are none."""
        edges = [a for a, _ in self._gaps(indices)]
        if not edges:
            return [indices]
        strips: list[list[int]] = [[] for _ in range(len(edges) + 1)]
        for i in sorted(indices, key=lambda i: (self._boxes[i].y0, self._boxes[i].x0)):
            strips[sum(self._boxes[i].x0 > edge for edge in edges)].append(i)
        columns = [strips[0]]
        for before, strip in pairwise(strips):
            if self._runs(before) or self._runs(strip):
                columns.append(strip)
            else:
                columns[-1] = columns[-1] + strip
        return columns if all(self._lines(column) >= _MIN_LINES for column in columns) else [indices]

    def _runs(self, indices: list[int]) -> bool:
        wide = median(self._boxes[i].width for i in indices) >= _RUNNING_WIDTH * self._line
        return wide and self._lines(indices) >= _RUNNING_LINES

    def _lines(self, indices: list[int]) -> float:
        return sum(max(1.0, round(self._boxes[i].height / self._line)) for i in indices)

    def _span(self, indices: list[int]) -> _Gap:
        return min(self._boxes[i].x0 for i in indices), max(self._boxes[i].x1 for i in indices)
