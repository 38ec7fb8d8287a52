"""Reads the text that a PDF itself carries: the cheapest engine, and the only exact one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

import pymupdf
from msgspec.structs import replace

from escriba.document import Block, BoundingBox, Line, Word
from escriba.engines.forms import fields, links, ticks
from escriba.engines.ruled_tables import find_tables
from escriba.errors import EngineRejected
from escriba.layout.lists import marked
from escriba.layout.paragraphs import join_rows
from escriba.layout.reading_order import reading_order
from escriba.policy import Policy
from escriba.ports import PageSource, Reading

_FLAGS = pymupdf.TEXT_MEDIABOX_CLIP | pymupdf.TEXT_CID_FOR_UNKNOWN_UNICODE
_BOLD = 16
_SAME_ROW = 0.5  # of the lower height, in common
_SAME_SIZE = 0.6  # points
_BESIDE = 2.5  # of a tick's height: as far as its words may stand
_WHITE = 0.9  # of a line's height: more white than this parts paragraphs


class _Styled(NamedTuple):
    line: Line
    size: float
    bold: bool


class TextLayer:
    """Implements `ports.Engine`."""

    name = "text_layer"
    version = f"pymupdf-{pymupdf.VersionBind}.2"

    def read(self, pages: Sequence[PageSource], policy: Policy) -> list[Reading | EngineRejected]:
        """Each page's paragraphs, list items and ruled tables in reading order, with type sizes for the headings to come."""
        return [_read(page) for page in pages]


def _read(page: PageSource) -> Reading | EngineRejected:
    native = page.native()
    if native is None:
        return EngineRejected("an image has no text layer")
    text = native.get_textpage(flags=_FLAGS)
    words, places = _words(text)
    for tick in ticks(native):
        _place(tick, words, places)
    tables = find_tables(native, words)
    taken = frozenset[int]().union(*(members for _, members in tables))
    lines: dict[tuple[int, int], list[Word]] = {}
    for n, place in enumerate(places):
        if n not in taken:
            lines.setdefault(place, []).append(words[n])
    blocks = [table for table, _ in tables]
    for number, block in enumerate(text.extractDICT()["blocks"]):
        blocks += _blocks(number, block, lines)
    if native.rotation:
        blocks = [_turned(block, native.rotation_matrix) for block in blocks]
    heights = [line.box.height for block in blocks for line in block.lines]
    ordered = tuple(blocks[i] for i in reading_order([block.box for block in blocks], median(heights) if heights else 0.0))
    return Reading(ordered, links=links(native), fields=fields(native))


def _words(text: Any) -> tuple[list[Word], list[tuple[int, int]]]:
    """The page's words and for each its block and line."""
    words, places = [], []
    for x0, y0, x1, y1, content, block, line, _ in text.extractWORDS():
        if clean := _clean(content):
            words.append(Word(clean, BoundingBox(round(x0, 2), round(y0, 2), round(x1, 2), round(y1, 2))))
            places.append((block, line))
    return words, places


def _place(tick: Word, words: list[Word], places: list[tuple[int, int]]) -> None:
    """Put a tick before the words it stands beside, in place of the letter its font draws it with."""
    for n in reversed(range(len(words))):
        x, y = (words[n].box.x0 + words[n].box.x1) / 2, (words[n].box.y0 + words[n].box.y1) / 2
        if tick.box.x0 <= x <= tick.box.x1 and tick.box.y0 <= y <= tick.box.y1:
            del words[n], places[n]
    middle = (tick.box.y0 + tick.box.y1) / 2
    beside = [
        (abs(word.box.x0 - tick.box.x1), n)
        for n, word in enumerate(words)
        if word.box.y0 <= middle <= word.box.y1 and -1 <= word.box.x0 - tick.box.x1 <= _BESIDE * tick.box.height
    ]
    if beside:
        _, n = min(beside)
        words.insert(n, tick)
        places.insert(n, places[n])


def _blocks(number: int, block: dict[str, Any], words: dict[tuple[int, int], list[Word]]) -> list[Block]:
    """A block's lines as paragraphs and list items."""
    groups: list[list[_Styled]] = []
    for index, line in enumerate(block.get("lines", ())):
        kept = words.get((number, index))
        if not kept:
            continue
        styled = _Styled(Line.of(kept), *_style(line["spans"]))
        if not groups or _parts(groups[-1][-1], styled):
            groups.append([])
        groups[-1].append(styled)
    return [_block(group) for group in groups]


def _parts(above: _Styled, line: _Styled) -> bool:
    """Whether a new paragraph or list item begins with this line."""
    upper, lower = above.line.box, line.line.box
    if min(upper.y1, lower.y1) - max(upper.y0, lower.y0) > _SAME_ROW * min(upper.height, lower.height):
        return False
    other_type = abs(above.size - line.size) > _SAME_SIZE or above.bold != line.bold
    return other_type or bool(marked(line.line)[0]) or lower.y0 - upper.y1 > _WHITE * lower.height


def _block(group: list[_Styled]) -> Block:
    lines = join_rows([styled.line for styled in group])
    marker, first = marked(lines[0])
    sizes: Counter[float] = Counter()
    for styled in group:
        sizes[styled.size] += len(styled.line.text)
    return Block(
        kind="list_item" if marker else "paragraph",
        box=BoundingBox.around(line.box for line in lines),
        lines=(first, *lines[1:]) if marker else tuple(lines),
        marker=marker,
        font_size=max(sizes, key=lambda size: (sizes[size], size)),
        bold=all(styled.bold for styled in group),
    )


def _style(spans: list[dict[str, Any]]) -> tuple[float, bool]:
    """The size in points of most of a line's characters, and whether all of it is bold."""
    sizes: Counter[float] = Counter()
    bold = True
    for span in spans:
        length = len(span["text"].strip())
        sizes[round(span["size"], 1)] += length
        bold = bold and (not length or bool(span["flags"] & _BOLD) or "bold" in span["font"].lower())
    return max(sizes, key=lambda size: sizes[size], default=0.0), bold


def _clean(text: str) -> str:
    """Ligatures spelled out, presentation forms made letters; nothing invisible."""
    if text.isascii():
        return text
    spelled = "".join(unicodedata.normalize("NFKC", c) if "\ufb00" <= c <= "\ufeff" else c for c in text)
    return "".join(c for c in spelled if c == "\u200d" or unicodedata.category(c) not in {"Cc", "Cf"} or c == "\xad").replace("\xad", "-")


def _turned(block: Block, matrix: Any) -> Block:
    """The block on the page as displayed."""

    def turn(box: BoundingBox) -> BoundingBox:
        return BoundingBox(*(round(value, 2) for value in pymupdf.Rect(box.x0, box.y0, box.x1, box.y1) * matrix))

    lines = tuple(Line(turn(line.box), tuple(Word(w.text, turn(w.box), w.confidence) for w in line.words)) for line in block.lines)
    return replace(block, box=turn(block.box), lines=lines)
