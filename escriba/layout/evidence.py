"""Measures of a page that was read which show how far the reading is to be believed: they decide whether a vision model is asked."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from escriba.document import Block, BoundingBox, Evidence, Line, Word, sure_share
from escriba.layout.columns_read_across import White, across_share, tabular_share, wide_whites
from escriba.layout.ink import ink_share, inked, letter_specks, sharp_share

_LETTER = 24
"""Height in pixels to which words are shrunk before their picture is measured: strokes still show, and time is bounded."""
_DIGITS = 4  # of every share: enough to decide by, and the same in every run
_RULE = 3.0  # heights of a word from which a stroke that runs down is a rule
_CROWD, _PLACES = 8, 3  # specks that make a word or two; places told of
_A_WORD = 3  # letters
_JOINED, _DOUBTED = (0.9, 0.5), (0.2, 0.6)
"""Specks a character, and share of characters in doubtful words, from where handwriting becomes likely to where it is plain."""
_CJK = (("\u3040", "\u30ff"), ("\u3400", "\u9fff"), ("\uf900", "\ufaff"))
_OPERATOR = re.compile(r"[=+±÷<>≤≥≠≈∑∫∏√∞∂∇∈→⇒^_{}\\|\u00d7\u2212\u0391-\u03a9\u03b1-\u03c9]")  # times, minus, Greek


def evidence(rgb: Any, blocks: Sequence[Block], width: float, engine: str, disagreement: float | None = None) -> Evidence:
    """What a page's picture, uint8 (height, width, 3), and what an engine read of it (boxes in points, on a page so many points wide) show together."""
    lines = [line for block in blocks for line in block.lines]
    words = [word for line in lines for word in line.words]
    told = None if disagreement is None else round(disagreement, _DIGITS)
    if not words:
        return Evidence(ink=round(ink_share(rgb), _DIGITS), disagreement=told)
    gray, scale, height = _shrunk(rgb, words, width)
    ink = inked(gray)
    specks = letter_specks(ink, height)
    read = specks.within([word.box for word in words], scale, height, gray.shape)
    sure = sure_share(words, engine)
    shares: dict[str, Any] = {
        "ink": sharp_share(gray),
        "unread": float(1 - read.mean()) if len(read) else 0.0,
        "sure": sure,
        "tabular": tabular_share(lines, unruled(list(wide_whites(lines)), lines, ink, height, scale)),
        "across": across_share(lines),
        "handwriting": handwriting(int(read.sum()) / sum(len(word.text) for word in words), sure),
        "formulae": formulae_share(lines),
    }
    unread_at = crowds(specks.stats[~read], height, scale)
    return Evidence(disagreement=told, unread_at=unread_at, **{name: round(share, _DIGITS) for name, share in shares.items()})


def _shrunk(rgb: Any, words: Sequence[Word], width: float) -> tuple[Any, float, float]:
    """The picture in gray with words at most `_LETTER` pixels high, its pixels a point, and the words' height."""
    scale = rgb.shape[1] / width
    height = max(float(np.median([word.box.height for word in words])) * scale, 1.0)
    ratio = min(1.0, _LETTER / height)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if ratio < 1:
        gray = cv2.resize(gray, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    return gray, gray.shape[1] / width, height * ratio


def disagreement(one: Sequence[Block], other: Sequence[Block]) -> float | None:
    """Share (0 to 1) of the longer reading's words, by letters and digits alone, that the other reading has not; in any order.

    Words count by their length; 0 for two empty readings. None where one reads Chinese or Japanese and the other does not know the script.
    """
    mine, theirs = (_letters(reading) for reading in (one, other))
    if abs(_ideographic(mine) - _ideographic(theirs)) > 0.5:  # noqa: PLR2004  (most of the text)
        return None
    longest = max(mine.total(), theirs.total())
    return 1 - (mine & theirs).total() / longest if longest else 0.0


def _letters(blocks: Sequence[Block]) -> Counter[str]:
    """How many characters each word makes in all of its places."""
    words = (word.text for block in blocks for line in block.lines for word in line.words)
    times = Counter(bare for word in words if (bare := "".join(c for c in word.casefold() if c.isalnum())))
    return Counter({word: len(word) * count for word, count in times.items()})


def _ideographic(words: Counter[str]) -> float:
    """The share of the characters that stand in words with a Chinese or Japanese one."""
    return sum(length for word, length in words.items() if any(first <= c <= last for c in word for first, last in _CJK)) / (
        words.total() or 1
    )


def unruled(whites: Sequence[White], lines: Sequence[Line], ink: Any, height: float, scale: float) -> list[White]:
    """Those down which no rule runs on a picture that is inked, uint8 (height, width), with words `height` and a point `scale` pixels high."""
    rules = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((max(round(_RULE * height), 3), 1), np.uint8))
    return [
        white for white in whites if not _cut(rules, (white.x0, lines[white.line].box.y0, white.x1, lines[white.line].box.y1), scale).any()
    ]


def _cut(picture: Any, box: Sequence[float], scale: float) -> Any:
    x0, y0, x1, y1 = (max(round(side * scale), 0) for side in box)
    return picture[y0 : y1 + 1, x0 : x1 + 1]


def crowds(stats: Any, height: float, scale: float) -> tuple[BoundingBox, ...]:
    """Where specks (rows as OpenCV counts them) stand close together, in points: at most three places, the fullest first."""
    if len(stats) < _CROWD:
        return ()
    # Cells two words high, as lines lie no further apart: what touches is one place.
    columns, rows = ((stats[:, side] + stats[:, side + 2] / 2) / (2 * height) for side in (0, 1))
    cells = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), np.uint8)
    cells[rows.astype(int), columns.astype(int)] = 1
    _, labels = cv2.connectedComponents(cells, connectivity=8)
    place = labels[rows.astype(int), columns.astype(int)]
    counts = np.bincount(place)
    fullest = sorted((label for label in range(1, len(counts)) if counts[label] >= _CROWD), key=lambda label: -counts[label])
    return tuple(_around(stats[place == label], scale) for label in fullest[:_PLACES])


def _around(stats: Any, scale: float) -> BoundingBox:
    left, top, right, bottom = stats[:, 0].min(), stats[:, 1].min(), (stats[:, 0] + stats[:, 2]).max(), (stats[:, 1] + stats[:, 3]).max()
    return BoundingBox(*(round(float(side) / scale, 2) for side in (left, top, right, bottom)))


def handwriting(specks: float, sure: float) -> float:
    """How likely (0 to 1) words are handwritten that have so many specks as large as letters a character: those of a hand are joined, and doubted."""
    return math.sqrt(_between(specks, *_JOINED) * _between(1 - sure, *_DOUBTED))


def _between(value: float, none: float, full: float) -> float:
    """0 at `none`, 1 at `full`, and beyond."""
    return min(max((value - none) / (full - none), 0.0), 1.0)


def formulae_share(lines: Sequence[Line]) -> float:
    """Share (0 to 1) of the characters that stand in lines full of operators and Greek, which is how engines read formulae."""
    total = sum(len(line.text) for line in lines)
    return sum(len(line.text) for line in lines if _is_formula(line)) / total


def _is_formula(line: Line) -> bool:
    operators = len(_OPERATOR.findall(line.text))
    words = sum(len(word.text) >= _A_WORD and word.text.isalpha() for word in line.words)
    return operators > 0 and operators >= words
