"""Finds how far a scan leans, and turns it straight; what is found on the straight picture is carried back to the page."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

_LONGEST = 800  # pixels; lines of text still show
_WIDEST = 8.0  # degrees looked at to either side
_COARSE, _FINE = 0.5, 0.1
_SURE = 1.15
"""How much sharper the rows must stand at the angle found than at none, for it to be believed."""


class Turned(NamedTuple):
    """A picture turned about its centre, with the 2 x 3 matrix that leads back to the picture it was made from."""

    pixels: Any
    back: Any


def skew(gray: Any) -> float:
    """Degrees by which the lines of a uint8 picture of shape (height, width) rise to the right; 0 when that is not clear."""
    scale = min(1.0, _LONGEST / max(gray.shape))
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ink = 255 - cv2.adaptiveThreshold(small, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 25, 15)
    coarse = max(np.arange(-_WIDEST, _WIDEST + _COARSE, _COARSE), key=lambda angle: _sharpness(ink, angle))
    fine = max(np.arange(coarse - _COARSE, coarse + _COARSE + _FINE, _FINE), key=lambda angle: _sharpness(ink, angle))
    sure = abs(coarse) < _WIDEST and _sharpness(ink, fine) > _SURE * _sharpness(ink, 0.0)
    return round(float(fine), 1) if sure else 0.0


def turned(pixels: Any, degrees: float) -> Turned:
    """The picture turned clockwise by `degrees`, the corners filled with white."""
    height, width = pixels.shape[:2]
    forth = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    white = 255 if pixels.ndim == 2 else (255, 255, 255)  # noqa: PLR2004
    upright = cv2.warpAffine(pixels, forth, (width, height), flags=cv2.INTER_LINEAR, borderValue=white)
    return Turned(upright, cv2.invertAffineTransform(forth))


def carried_back(box: tuple[float, float, float, float], back: Any) -> tuple[float, float, float, float]:
    """The upright box around what a box on the turned picture covers on the page."""
    x0, y0, x1, y1 = box
    corners = np.array([[x0, y0, 1], [x1, y0, 1], [x1, y1, 1], [x0, y1, 1]], dtype=float) @ back.T
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _sharpness(ink: Any, degrees: float) -> float:
    """How much the ink of neighbouring rows differs once the picture is turned: greatest when lines lie level."""
    height, width = ink.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    rows = cv2.warpAffine(ink, matrix, (width, height), flags=cv2.INTER_NEAREST).sum(axis=1, dtype=np.int64)
    return float(np.square(np.diff(rows)).sum())
