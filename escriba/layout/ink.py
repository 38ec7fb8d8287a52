"""What stands on a page besides what was read: measures of ink that keep an engine's word from being the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from escriba.document import BoundingBox

_CONTRAST = 40  # of 255
_MARGIN = 0.2  # of a line's height: accents and tails that stand out of a word's box
_LEAST, _MOST = 0.35, 2.5
"""Heights of letters, in median heights of the words read; smaller is dirt, larger a picture or a rule."""
_WIDEST, _THINNEST, _DENSEST = 4.0, 0.1, 0.03


def ink_share(rgb: Any) -> float:
    """Share (0 to 1) of the pixels of a uint8 array (height, width, 3) that differ clearly from their surroundings."""
    gray = cv2.medianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 3)
    return float((cv2.absdiff(gray, cv2.blur(gray, (51, 51))) > _CONTRAST).mean())


def unread_share(gray: Any, words: Sequence[BoundingBox], scale: float) -> float:
    """Share (0 to 1) of the specks as large as letters, on a uint8 picture (height, width), that lie in no word read.

    Boxes are in points, `scale` in pixels a point. 1 when nothing was read, whatever is there.
    """
    if not words:
        return 1.0
    height = float(np.median([box.height for box in words])) * scale
    ink = cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 31, 20)
    _, _, stats, middles = cv2.connectedComponentsWithStats(ink, connectivity=8)
    wide, high, area = (stats[1:, column] for column in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    like_letters = (
        (high > _LEAST * height)
        & (high < _MOST * height)
        & (wide < _WIDEST * height)
        & (wide > _THINNEST * height)
        & (area > _DENSEST * height**2)
    )
    specks = middles[1:][like_letters].astype(int)
    if not len(specks):
        return 0.0
    read = np.zeros(gray.shape, np.uint8)
    margin = _MARGIN * height
    for box in words:
        x0, y0, x1, y1 = (
            max(round(v * scale + m), 0) for v, m in zip((box.x0, box.y0, box.x1, box.y1), (-margin, -margin, margin, margin), strict=True)
        )
        read[y0 : y1 + 1, x0 : x1 + 1] = 1
    return float(1 - read[specks[:, 1], specks[:, 0]].mean())
