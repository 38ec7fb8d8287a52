"""dots.ocr's answers: a JSON list of layout elements with box, category and text."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from escriba.document import BlockKind
from escriba.models import tables
from escriba.models.markdown import unfenced
from escriba.models.text import Unparsable, clean, plain
from escriba.vision import Parsed, Said

_STEP = 28  # pixels: the model sees, and answers in, an image whose sides are whole multiples of this
_KINDS: dict[str, BlockKind] = {
    "Caption": "paragraph",
    "Footnote": "footnote",
    "Formula": "paragraph",
    "List-item": "list_item",
    "Page-footer": "page_footer",
    "Page-header": "page_header",
    "Section-header": "heading",
    "Table": "table",
    "Text": "paragraph",
    "Title": "heading",
}
_MARKS = re.compile(r"\s*(#{1,6})\s+|\s*[-*+•]\s+")


def parse(answer: str, size: tuple[int, int]) -> Parsed:
    """The elements in their order; pictures are left out. `size` is the image's, in pixels. Raises `Unparsable`."""
    try:
        elements = json.loads(unfenced(clean(answer)))
    except (ValueError, RecursionError) as error:
        if isinstance(error, Unparsable):
            raise
        raise Unparsable("the answer is no JSON, or breaks off") from None
    if isinstance(elements, dict):
        elements = [elements]
    if not isinstance(elements, list):
        raise Unparsable("the answer is no list of layout elements")
    return Parsed(tuple(piece for element in elements for piece in _said(element, size)))


def _said(element: Any, size: tuple[int, int]) -> list[Said]:
    if not isinstance(element, dict) or not isinstance(element.get("category"), str):
        raise Unparsable("the answer has an element without a category")
    category, text = element["category"], element.get("text", "")
    box = _box(element.get("bbox"), size)
    if category == "Picture":
        return []
    if category not in _KINDS or not isinstance(text, str):
        raise Unparsable("the answer has an element of no known category, or without text")
    kind = _KINDS[category]
    text = clean(text)
    if kind == "table":
        return tables.from_html(text.strip(), box)
    marks = _MARKS.match(text)
    level = (len(marks.group(1) or "") if marks else 0) or (1 if category == "Title" else 2)
    words = text.strip() if category == "Formula" else plain(text[marks.end() :] if marks else text)
    return [Said(kind, words, level=level if kind == "heading" else 0, box=box)] if words else []


def _box(value: Any, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Pixels of the resized image as shares of it; None for a box without area."""
    if not isinstance(value, list) or len(value) != 4 or not all(_number(side) for side in value):  # noqa: PLR2004  (x0, y0, x1, y1)
        raise Unparsable("the answer has an element without a box")
    wide, high = (max(_STEP, round(side / _STEP) * _STEP) for side in size)
    x0, x1 = (min(max(float(side) / wide, 0.0), 1.0) for side in (value[0], value[2]))
    y0, y1 = (min(max(float(side) / high, 0.0), 1.0) for side in (value[1], value[3]))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _number(side: Any) -> bool:
    return isinstance(side, (int, float)) and not isinstance(side, bool) and abs(side) < 1e6 and math.isfinite(side)  # noqa: PLR2004  (pixels)
