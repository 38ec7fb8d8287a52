"""PNG, JPEG and TIFF through Pillow: each frame is a page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from escriba.errors import Corrupt, OverLimit
from escriba.ports import PageFeatures

MAX_PIXELS = 200_000_000
_PLAUSIBLE_DPI = range(50, 1201)
_ASSUMED_DPI = 200
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError, TypeError)
Image.MAX_IMAGE_PIXELS = None  # checked below, against our own limit and with our own sentence


class ImageSource:
    """Implements `opening.Source`. An image has no text layer: it is all pixels."""

    def __init__(self, path: Path, media_type: str) -> None:
        """Raises `Corrupt` or `OverLimit`."""
        self._path, self.media_type = path, media_type
        try:
            self._image = Image.open(path, formats=["PNG", "JPEG", "TIFF"])
            self.page_count = getattr(self._image, "n_frames", 1) if media_type == "image/tiff" else 1
        except _BROKEN as error:
            raise Corrupt("the image is broken and cannot be opened") from error
        if self.page_count == 0:
            raise Corrupt("the image holds no picture")

    def features(self, number: int) -> PageFeatures:
        width, height = self._size(self._frame(number))
        return PageFeatures(number=number, width=round(width, 2), height=round(height, 2), image_coverage=1.0)

    def cut(self, number: int) -> bytes:
        if self.page_count == 1:
            return self._path.read_bytes()
        frame = self._frame(number)
        out = io.BytesIO()
        try:
            frame.save(out, "PNG", dpi=(self._dpi(frame), self._dpi(frame)), compress_level=1)
        except _BROKEN as error:
            raise Corrupt(f"picture {number} is broken and cannot be taken out of its file") from error
        return out.getvalue()

    def page(self, number: int) -> ImagePage:
        frame = self._frame(number)
        width, height = self._size(frame)
        return ImagePage(frame, number, width, height)

    def close(self) -> None:
        self._image.close()

    def _frame(self, number: int) -> Image.Image:
        try:
            self._image.seek(number - 1)
        except _BROKEN as error:
            raise Corrupt(f"picture {number} is broken and cannot be opened") from error
        pixels = self._image.width * self._image.height
        if pixels > MAX_PIXELS:
            raise OverLimit(f"the image has {pixels:,} pixels, more than the {MAX_PIXELS:,} that Escriba opens; scale it down")
        return self._image

    def _size(self, frame: Image.Image) -> tuple[float, float]:
        """Points as displayed."""
        dpi = self._dpi(frame)
        width, height = frame.width * 72 / dpi, frame.height * 72 / dpi
        turned = frame.getexif().get(0x0112, 1) in {5, 6, 7, 8}
        return (height, width) if turned else (width, height)

    @staticmethod
    def _dpi(frame: Image.Image) -> float:
        try:
            dpi = float(frame.info.get("dpi", (0, 0))[0])
        except (TypeError, ValueError, IndexError, ZeroDivisionError):
            dpi = 0.0
        return dpi if int(dpi) in _PLAUSIBLE_DPI else _ASSUMED_DPI


class ImagePage:
    """Implements `ports.PageSource`; `image` gives the pixels there are, whatever resolution is asked for."""

    def __init__(self, frame: Image.Image, number: int, width: float, height: float) -> None:
        self._frame, self.number, self.width, self.height = frame, number, width, height

    def image(self, dpi: int) -> Any:
        try:
            upright = ImageOps.exif_transpose(self._frame)
            return np.asarray(_rgb(upright))
        except _BROKEN as error:
            raise Corrupt("the picture is broken or cut off") from error

    def native(self) -> Any:
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I;16", "I;16B", "I"}:
        # Pillow would clip 16 bits instead of scaling them.
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
