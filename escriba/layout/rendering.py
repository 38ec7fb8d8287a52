"""Draws a page, or the part of it that a vision model is to look at, upright and in the size that the model was made for."""

from __future__ import annotations

import cv2
import numpy as np

from escriba.document import BoundingBox
from escriba.layout.ink import ink_share
from escriba.ports import PageSource, Picture

_LEAST_DPI, _MOST_DPI = 50, 400
_SMALLEST = 28  # pixels: a side that is shorter has no whole patch in the models known to us


def rendered(page: PageSource, pixels: int, turned: int, box: BoundingBox | None) -> Picture:
    """The page, turned clockwise by so many degrees, and of it the box (points of the turned page), at most `pixels` on its longer side."""
    upright = turned % 180 == 0
    width, height = (page.width, page.height) if upright else (page.height, page.width)
    part = box or BoundingBox(0, 0, width, height)
    dpi = round(72 * pixels / max(part.width, part.height, 1))
    image = np.rot90(page.image(min(max(dpi, _LEAST_DPI), _MOST_DPI)), -turned // 90)
    scale = image.shape[1] / width
    x0, x1 = (min(max(round(x * scale), 0), image.shape[1]) for x in (part.x0, part.x1))
    y0, y1 = (min(max(round(y * scale), 0), image.shape[0]) for y in (part.y0, part.y1))
    cut = np.ascontiguousarray(image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])
    shrunk = _fitted(cut, pixels)
    _, png = cv2.imencode(".png", _grey(shrunk) if _is_grey(shrunk) else cv2.cvtColor(shrunk, cv2.COLOR_RGB2BGR))
    return Picture(png.tobytes(), shrunk.shape[1], shrunk.shape[0], round(ink_share(cut), 4))


def _is_grey(image: np.ndarray) -> bool:
    return bool((image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all())


def _grey(image: np.ndarray) -> np.ndarray:
    """One channel of three that are the same: the same picture to whoever opens it, in less than half of the bytes."""
    return np.ascontiguousarray(image[..., 0])


def _fitted(image: np.ndarray, pixels: int) -> np.ndarray:
    height, width = image.shape[:2]
    factor = min(1.0, pixels / max(height, width))
    size = max(_SMALLEST, round(width * factor)), max(_SMALLEST, round(height * factor))
    return image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
