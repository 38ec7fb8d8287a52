"""Small pictures and questions about them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageDraw

from escriba.vision import Question

SIDE = 112  # pixels: few enough to be seen at once by a model for tests


def picture(form: str = "PNG", side: int = SIDE) -> bytes:
    """A white square with a line of print."""
    image = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(image).text((8, 40), "Total 12,50", fill="black")
    out = io.BytesIO()
    image.save(out, form)
    return out.getvalue()


def question(**wishes: Any) -> Question:
    """One that any server answers, with other wishes where a test has some."""
    usual = {"model": "tiny", "prompt": "Read.", "image": picture(), "media_type": "image/png", "pixels": SIDE * SIDE, "max_tokens": 16}
    return Question(**(usual | wishes))
