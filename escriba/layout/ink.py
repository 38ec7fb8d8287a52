"""What stands on a page besides what was read: measures of ink that keep an engine's word from being the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from escriba.document import BoundingBox

_COLOURED = 3  # axes of a picture with colours
_CONTRAST = 40  # of 255
_AROUND = 51  # pixels: the square that a pixel is compared with
_LITTLE = 0.005  # share of sharp ink up to which softer ink is looked for: what the policy takes for blank unless it says otherwise
_SIDE, _SMOOTH = 1000, 4.0
"""Pixels of the longer side on which soft ink is looked for, and the deviation of the blur that takes the grain away there."""
_FAINTEST, _GRAINS, _DEVIATION = 5.0, 4.0, 1.4826
"""Contrast (of 255) of soft ink at least, and in deviations of the grain; a deviation in medians of what is normally distributed."""
_EDGE, _SPECK = 2, 50  # pixels: what is as near to the edge reaches it; smaller is dirt
_SPREAD = 4.0  # times the place of its strokes that text takes up at least once it is smoothed
_MARGIN = 0.2  # of a line's height: accents and tails that stand out of a word's box
_LEAST, _MOST = 0.35, 2.5
"""Heights of letters, in median heights of the words read; smaller is dirt, larger a picture or a rule."""
_WIDEST, _THINNEST, _DENSEST = 4.0, 0.1, 0.03


def ink_share(picture: Any) -> float:
    """Share (0 to 1) of the pixels of a uint8 array, (height, width, 3) or gray (height, width), that are inked, however softly.

    What stands out sharply is counted where there is enough of it; of a picture that seems blank, also what is blurred or faint.
    """
    gray = _gray(picture)
    sharp = sharp_share(gray)
    return sharp if sharp > _LITTLE else max(sharp, _soft_share(gray))


def sharp_share(picture: Any) -> float:
    """Share (0 to 1) of the pixels of a uint8 array, (height, width, 3) or gray (height, width), that differ clearly from their surroundings."""
    gray = cv2.medianBlur(_gray(picture), 3)
    return float((cv2.absdiff(gray, cv2.blur(gray, (_AROUND, _AROUND))) > _CONTRAST).mean())


def _soft_share(gray: Any) -> float:
    """Ink as `sharp_share` would count it were it not blurred or faint; 0 for paper that is only grainy, shaded or unevenly lit."""
    gray = cv2.medianBlur(gray, 3)
    ratio = _SIDE / max(gray.shape)
    if ratio < 1:
        gray = cv2.resize(gray, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), _SMOOTH)
    contrast = cv2.absdiff(smooth, cv2.blur(smooth, (_AROUND, _AROUND)))
    # Most of a page that seems blank is paper: the median tells how much its grain alone makes of it.
    grain = _GRAINS * _DEVIATION * float(np.median(contrast))
    _, _, stats, _ = cv2.connectedComponentsWithStats((contrast > max(_FAINTEST, grain)).astype(np.uint8), connectivity=8)
    left, top, wide, high, area = (stats[1:, column] for column in range(5))
    # Shadows of an edge, folds and the scanner's lid reach the edge of the picture; text does not.
    off_edge = (left > _EDGE) & (top > _EDGE) & (left + wide < gray.shape[1] - _EDGE) & (top + high < gray.shape[0] - _EDGE)
    return float(area[off_edge & (area >= _SPECK)].sum() / gray.size / _SPREAD)


def _gray(picture: Any) -> Any:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == _COLOURED else picture


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
