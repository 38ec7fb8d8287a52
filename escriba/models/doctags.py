"""granite-docling's answers: DocTags, elements with places on a grid of 500, tables in OTSL."""

from __future__ import annotations

import re
from collections.abc import Sequence

from escriba.document import BlockKind
from escriba.models import tables
from escriba.models.text import Unparsable, clean, unescaped
from escriba.vision import Parsed, Said

_GRID = 500
_TOKEN = re.compile(r"<loc_([0-9]{1,4})>|<(/?)([a-z][a-z0-9_]*)>|<\|[a-z_]{1,40}\|>|<_[A-Za-z0-9_.#+-]{1,30}_>")
_LEAVES: dict[str, BlockKind] = {
    "text": "paragraph",
    "paragraph": "paragraph",
    "caption": "paragraph",
    "formula": "paragraph",
    "code": "paragraph",
    "checkbox_selected": "paragraph",
    "checkbox_unselected": "paragraph",
    "title": "heading",
    "list_item": "list_item",
    "footnote": "footnote",
    "page_header": "page_header",
    "page_footer": "page_footer",
    "otsl": "table",
    "document_index": "table",
    "section_header_level_1": "heading",
    "section_header_level_2": "heading",
    "section_header_level_3": "heading",
    "section_header_level_4": "heading",
    "section_header_level_5": "heading",
    "section_header_level_6": "heading",
}
_HOLDERS = frozenset(
    {"doctag", "ordered_list", "unordered_list", "list", "group", "inline", "picture", "chart", "key_value_region", "form"}
)
_CELLS = frozenset({"fcel", "ecel", "lcel", "ucel", "xcel", "ched", "rhed", "srow", "nl"})
_DEEPEST = 30


class _Element:
    """An open element: its name, where its piece will stand, its places, its text or its cells."""

    def __init__(self, name: str, slot: int) -> None:
        self.name, self.slot = name, slot
        self.places: list[int] = []
        self.parts: list[str] = []
        self.cells: list[tuple[str, list[str]]] = []

    def hear(self, text: str) -> None:
        (self.cells[-1][1] if self.cells else self.parts).append(text)


def parse(answer: str) -> Parsed:
    """The elements in the order they begin; what pictures and charts hold is left out but for captions. Raises `Unparsable`."""
    text = clean(answer).strip()
    slots: list[Said | None] = []
    opened: list[_Element] = []
    at, ended = 0, False
    for token in _TOKEN.finditer(text):
        _hear(opened, text[at : token.start()], ended=ended)
        at = token.end()
        place, slash, name = token.groups()
        if place:
            if opened and int(place) <= _GRID:
                opened[-1].places.append(int(place))
        elif name in _CELLS and not slash:
            if opened and opened[-1].name in {"otsl", "document_index"}:
                opened[-1].cells.append((name, []))
        elif name in _LEAVES or name in _HOLDERS:
            if slash:
                ended = _close(opened, name, slots)
            else:
                _open(opened, name, slots, ended=ended)
        elif name and not _in_picture(opened):
            _hear(opened, token.group(), ended=ended)  # an unknown tag is text that stands on the page
    _hear(opened, text[at:], ended=ended)
    if not ended:
        raise Unparsable("the answer breaks off: its document does not end")
    return Parsed(tuple(piece for piece in slots if piece is not None))


def _in_picture(opened: Sequence[_Element]) -> bool:
    return any(element.name in {"picture", "chart"} for element in opened)


def _hear(opened: list[_Element], text: str, *, ended: bool) -> None:
    if not text.strip():
        if opened:
            opened[-1].hear(text)
        return
    if not opened or ended:
        raise Unparsable("the answer has text outside its document")
    if opened[-1].name in {"picture", "chart"}:
        return
    if opened[-1].name == "inline" and len(opened) > 1:
        opened[-2].hear(text)
    elif opened[-1].name in _HOLDERS:
        raise Unparsable("the answer has text outside its elements")
    else:
        opened[-1].hear(text)


def _open(opened: list[_Element], name: str, slots: list[Said | None], *, ended: bool) -> None:
    if ended or bool(opened) == (name == "doctag") or len(opened) >= _DEEPEST:
        raise Unparsable("the answer has elements where none can stand")
    slots.append(None)
    element = _Element(name, len(slots) - 1)
    if name == "caption" and opened and _LEAVES.get(opened[-1].name) == "table":
        element.slot, opened[-1].slot = opened[-1].slot, element.slot  # a table's caption stands before it
    opened.append(element)


def _close(opened: list[_Element], name: str, slots: list[Said | None]) -> bool:
    """Close the innermost element; whether the document ends with it."""
    if not opened or opened[-1].name != name:
        raise Unparsable("the answer closes an element that is not open")
    element = opened.pop()
    outer = {other.name for other in opened}
    if name in _LEAVES and (name == "caption" or not outer & {"picture", "chart"}):
        slots[element.slot] = _said(element)
    return name == "doctag"


def _said(element: _Element) -> Said | None:
    kind, box = _LEAVES[element.name], _box(element.places)
    if kind == "table":
        return tables.said(_otsl(element.cells), box)
    text = unescaped("".join(element.parts)).strip()
    if element.name != "code":
        text = " ".join(text.split())
    if element.name.startswith("checkbox") and text:
        text = f"[{'x' if element.name == 'checkbox_selected' else ' '}] {text}"
    level = 0 if kind != "heading" else 1 if element.name == "title" else int(element.name[-1])
    return Said(kind, text, level=level, box=box) if text else None


def _box(places: Sequence[int]) -> tuple[float, float, float, float] | None:
    if len(places) < 4:  # noqa: PLR2004  (x0, y0, x1, y1)
        return None
    x0, y0, x1, y1 = (place / _GRID for place in places[:4])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _otsl(cells: Sequence[tuple[str, list[str]]]) -> list[list[tables.Cell]]:
    """Rows of cells from OTSL's grid (arXiv:2305.03393), in which every row has as many. Raises `Unparsable` where its rules are broken."""
    grid: list[list[tuple[str, str]]] = [[]]
    for kind, parts in cells:
        if kind == "nl":
            grid.append([])
        else:
            grid[-1].append((kind, unescaped("".join(parts))))
    rows = [row for row in grid if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise Unparsable("the answer has a table whose rows differ in length")
    covered, out = set[tuple[int, int]](), list[list[tables.Cell]]()
    for r, row in enumerate(rows):
        out.append([])
        wides = _runs([kind for kind, _ in row], "lcel")
        for c, (kind, text) in enumerate(row):
            if kind in {"lcel", "ucel", "xcel"}:
                if (r, c) not in covered:
                    raise Unparsable("the answer has a table with a merged cell that belongs to none")
                continue
            wide, high = wides[c], 1
            while r + high < len(rows) and rows[r + high][c][0] == "ucel":
                high += 1
            inner = {(r + down, c + right) for down in range(high) for right in range(wide)} - {(r, c)}
            if inner & covered or any(rows[y][x][0] != "xcel" for y, x in inner if y > r and x > c):
                raise Unparsable("the answer has a table with cells that overlap")
            covered |= inner
            out[-1].append(tables.Cell(text, high, wide, kind in {"ched", "rhed", "srow"}))
    return out


def _runs(kinds: Sequence[str], wanted: str) -> list[int]:
    """For each place, how many columns a cell there takes: itself and the merged ones that follow."""
    runs = [1] * len(kinds)
    for place in range(len(kinds) - 2, -1, -1):
        if kinds[place + 1] == wanted:
            runs[place] = runs[place + 1] + 1
    return runs
