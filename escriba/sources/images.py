"""Pictures through Pillow: one page each, a TIFF as many as it has frames."""

from __future__ import annotations

import io
import math
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageFile

from escriba.errors import Corrupt
from escriba.guards.limits import check_page_size, check_picture
from escriba.policy import Limits
from escriba.ports import PageFeatures

pillow_heif.register_heif_opener()
FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/tiff": "TIFF",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/gif": "GIF",
    "image/jp2": "JPEG2000",
    "image/heic": "HEIF",
    "image/avif": "AVIF",
}
_ON_ITS_SIDE = {Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90}
CUT_OFF = "the file is cut off: only a part of the picture is there"
_PLAUSIBLE_DPI = range(50, 1201)
_ASSUMED_DPI = 200
# Pillow's readers trust what they read: whatever Python finds wrong with it, the picture is broken. MemoryError is not the picture's alone.
_BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, LookupError, RuntimeError, ArithmeticError, AttributeError, AssertionError,
    struct.error, zlib.error,
)  # fmt: skip
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Image.MAX_IMAGE_PIXELS = None  # checked below, against our own limits and with our own sentence


class ImageSource:
    """Implements `opening.Source`. An image has no text layer: it is all pixels."""

    def __init__(self, path: Path, media_type: str, limits: Limits) -> None:
        """Raises `Corrupt` or `OverLimit`."""
        self._path, self.media_type, self._limits = path, media_type, limits
        try:
            self._image = Image.open(path, formats=[FORMATS[media_type]])
            check_picture(self._image.width, self._image.height, path.stat().st_size, limits)
            self.page_count = getattr(self._image, "n_frames", 1) if media_type == "image/tiff" else 1
        except _BROKEN as error:
            raise Corrupt("the picture is broken and cannot be opened") from error
        if self.page_count == 0:
            raise Corrupt("the file holds no picture")

    def features(self, number: int) -> PageFeatures:
        width, height = self._size(self._frame(number))
        return PageFeatures(number=number, width=round(width, 2), height=round(height, 2), image_coverage=1.0)

    def picture(self, number: int) -> bytes:
        """The frame upright, as a file that a PDF can hold: a JPEG as it is, anything else as PNG."""
        frame = self._frame(number)
        if self.media_type == "image/jpeg" and _turn(frame) is None and frame.mode in {"L", "RGB"}:
            return self._path.read_bytes()
        if frame.mode == "1":
            with suppress(*_BROKEN):
                return _png(frame)
        # Also what is there of a fax that breaks off.
        return _png(Image.fromarray(self.page(number).image(0)), compress_level=1)

    def cut(self, number: int) -> bytes:
        if self.page_count == 1:
            return self._path.read_bytes()
        frame = self._frame(number)
        try:
            return _png(frame, dpi=(self._dpi(frame), self._dpi(frame)), compress_level=1)
        except _BROKEN as error:
            raise Corrupt("the picture is broken and cannot be taken out of its file") from error

    def page(self, number: int) -> ImagePage:
        frame = self._frame(number)
        width, height = self._size(frame)
        return ImagePage(self._path, frame, number, width, height)

    def close(self) -> None:
        self._image.close()

    def _frame(self, number: int) -> Image.Image:
        try:
            self._image.seek(number - 1)
        except _BROKEN as error:
            raise Corrupt("the picture is broken and cannot be opened") from error
        check_picture(self._image.width, self._image.height, self._path.stat().st_size, self._limits)
        return self._image

    def _size(self, frame: Image.Image) -> tuple[float, float]:
        """Points as displayed."""
        dpi = self._dpi(frame)
        width, height = frame.width * 72 / dpi, frame.height * 72 / dpi
        check_page_size(width, height, self._limits)
        return (height, width) if _turn(frame) in _ON_ITS_SIDE else (width, height)

    @staticmethod
    def _dpi(frame: Image.Image) -> float:
        try:
            dpi = float(frame.info.get("dpi", (0, 0))[0])
        except (TypeError, ValueError, IndexError, ZeroDivisionError):
            dpi = 0.0
        # A damaged tag may say NaN or infinity, which is no whole number of dots.
        return dpi if math.isfinite(dpi) and int(dpi) in _PLAUSIBLE_DPI else _ASSUMED_DPI


class ImagePage:
    """Implements `ports.PageSource`; `image` gives the pixels there are, whatever resolution is asked for."""

    def __init__(self, path: Path, frame: Image.Image, number: int, width: float, height: float) -> None:
        self._path, self._frame, self.number, self.width, self.height = path, frame, number, width, height
        self.flaw = ""

    def image(self, dpi: int) -> Any:
        try:
            return _upright(self._frame)
        except _BROKEN:
            return self._salvaged()

    def _salvaged(self) -> Any:
        """What is there of a file that breaks off, the rest of the picture left grey or black."""
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            with Image.open(self._path, formats=[str(self._frame.format)]) as again:
                again.seek(self._frame.tell())
                pixels = _upright(again)
        except _BROKEN as error:
            raise Corrupt("the picture is broken and cannot be read") from error
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        self.flaw = CUT_OFF
        return pixels

    def native(self) -> Any:
        return None


def _png(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What sets the picture upright as its EXIF says; None when it stands, or when its EXIF is broken (a PNG's may lie behind broken pixels)."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        return None


def _upright(image: Image.Image) -> Any:
    """Turned as its EXIF says, as an array of shape (height, width, 3)."""
    image.load()
    turn = _turn(image)
    return np.asarray(_rgb(image if turn is None else image.transpose(turn)))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I;16", "I;16B", "I"}:
        # Pillow would clip 16 bits instead of scaling them.
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
