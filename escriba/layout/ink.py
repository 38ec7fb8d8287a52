"""What stands on a page besides what was read: measures of ink that keep an engine's word from being the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from escriba.document import BoundingBox

_COLOURED = 3  # axes of a picture with colours
_CONTRAST = 40  # of 255
_MARGIN = 0.2  # of a line's height: accents and tails that stand out of a word's box
_LEAST, _MOST = 0.35, 2.5
"""Heights of letters, in median heights of the words read; smaller is dirt, larger a picture or a rule."""
_WIDEST, _THINNEST, _DENSEST = 4.0, 0.1, 0.03


def ink_share(picture: Any) -> float:
    """Share (0 to 1) of the pixels of a uint8 array, (height, width, 3) or gray (height, width), that differ clearly from their surroundings."""
    gray = cv2.medianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == _COLOURED else picture, 3)
    return float((cv2.absdiff(gray, cv2.blur(gray, (51, 51))) > _CONTRAST).mean())


class Specks(NamedTuple):
    """What on a picture is as large as letters: a row each of x, y, width, height, inked pixels (int32) and of the middle, x, y (int); pixels."""

    stats: Any
    middles: Any

    def within(self, words: Sequence[BoundingBox], scale: float, height: float, shape: tuple[int, ...]) -> Any:
        """Which of them lie in a word, as booleans; boxes in points, `scale` pixels a point, words `height` pixels high on a picture of this shape."""
        read = np.zeros(shape, np.bool_)
        margin = _MARGIN * height
        for box in words:
            x0, y0, x1, y1 = (
                max(round(v * scale + m), 0)
                for v, m in zip((box.x0, box.y0, box.x1, box.y1), (-margin, -margin, margin, margin), strict=True)
            )
            read[y0 : y1 + 1, x0 : x1 + 1] = True
        return read[self.middles[:, 1], self.middles[:, 0]]


def inked(gray: Any) -> Any:
    """A uint8 picture (height, width) in black (0) where it is paper and white (255) where it is ink."""
    return cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 31, 20)


def letter_specks(ink: Any, height: float) -> Specks:
    """The specks of a picture that is `inked` that may be letters where the words are `height` pixels high."""
    _, _, stats, middles = cv2.connectedComponentsWithStats(ink, connectivity=8)
    stats = stats[1:]
    wide, high, area = (stats[:, column] for column in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    like_letters = (
        (high > _LEAST * height)
        & (high < _MOST * height)
        & (wide < _WIDEST * height)
        & (wide > _THINNEST * height)
        & (area > _DENSEST * height**2)
    )
    return Specks(stats[like_letters], middles[1:][like_letters].astype(int))


def unread_share(gray: Any, words: Sequence[BoundingBox], scale: float) -> float:
    """Share (0 to 1) of the specks as large as letters, on a uint8 picture (height, width), that lie in no word read.

    Boxes are in points, `scale` in pixels a point. 1 when nothing was read, whatever is there.
    """
    if not words:
        return 1.0
    height = float(np.median([box.height for box in words])) * scale
    specks = letter_specks(inked(gray), height)
    return float(1 - specks.within(words, scale, height, gray.shape).mean()) if len(specks.middles) else 0.0
