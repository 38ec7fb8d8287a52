"""The picture that a model is shown."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from escriba.layout.rendering import rendered


@dataclass
class Drawn:
    """A page of known pixels. Implements `ports.PageSource`."""

    pixels: np.ndarray
    number: int = 1
    flaw: str = ""

    @property
    def width(self) -> float:
        return float(self.pixels.shape[1])

    @property
    def height(self) -> float:
        return float(self.pixels.shape[0])

    def image(self, dpi: int) -> np.ndarray:
        return self.pixels

    def native(self) -> Any:
        return None


def noise(channels: int) -> np.ndarray:
    """300 x 200 pixels, RGB; with one channel, grey."""
    pixels = np.random.default_rng(1).integers(0, 256, (200, 300, channels), np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (200, 300, 3)))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_grey_page_takes_one_channel_and_loses_nothing(channels: int, mode: str) -> None:
    """It is the same picture to whoever opens it as RGB, as model servers do; a coloured one keeps its colours."""
    pixels = noise(channels)
    picture = rendered(Drawn(pixels), 300, 0, None)
    opened = Image.open(io.BytesIO(picture.image))
    assert opened.mode == mode
    assert np.array_equal(np.asarray(opened.convert("RGB")), pixels)
    assert (picture.width, picture.height) == (300, 200)


def test_one_coloured_pixel_is_colour() -> None:
    """However small."""
    pixels = noise(1)
    pixels[100, 150] = (10, 10, 200)
    assert Image.open(io.BytesIO(rendered(Drawn(pixels), 300, 0, None).image)).mode == "RGB"
