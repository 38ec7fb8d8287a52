"""Cuts a document into chunks for retrieval: by heading and paragraph, near a target length, never inside a table row."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from escriba.document import Block, BoundingBox, Page
from escriba.layout.flow import flowing
from escriba.layout.running import RUNNING

_CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for Latin scripts and today's tokenizers; no model's vocabulary is asked."""
_ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
_ROWSPAN = re.compile(r'rowspan="(\d+)"')
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")


class Place(msgspec.Struct, frozen=True):
    """Where a part of a chunk stands: page from 1, box in points, origin top left."""

    page: int
    box: BoundingBox


class Chunk(msgspec.Struct, frozen=True):
    """One line of `chunks.jsonl`. `headings` is the path down to it; headings of its own also begin its text."""

    id: str
    text: str
    tokens: int
    pages: tuple[int, ...]
    headings: tuple[str, ...]
    places: tuple[Place, ...]


def tokens(text: str) -> int:
    """About how many tokens a model counts in a text."""
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


class _Piece(NamedTuple):
    text: str
    place: Place
    is_heading: bool = False


class Chunker:
    """Takes pages in order and gives chunks as they fill, so that length costs no memory."""

    def __init__(self, document: str, target: int) -> None:
        """`document` seeds the ids: the same text at the same place of the same document keeps its id. `target` in tokens."""
        self._document, self._target = document, target
        self._path: list[tuple[int, str]] = []
        self._pieces: list[_Piece] = []
        self._headings: tuple[str, ...] = ()
        self._seen: dict[str, int] = {}

    def add(self, page: Page) -> Iterator[Chunk]:
        """The chunks that are full once this page has come."""
        for block in page.blocks:
            if block.kind in RUNNING:
                continue
            if block.kind == "heading":
                yield from self._heading(block, page.number)
                continue
            for text in _parts(block, self._target):
                yield from self._take(_Piece(text, Place(page.number, block.box)))

    def end(self) -> Iterator[Chunk]:
        """What is left."""
        if self._pieces:
            yield self._chunk()

    def _heading(self, block: Block, page: int) -> Iterator[Chunk]:
        # Headings in a row belong to what follows them; after text, a heading begins something new.
        if any(not piece.is_heading for piece in self._pieces):
            yield self._chunk()
        text = _text(block)
        self._path = [(level, above) for level, above in self._path if level < block.level] + [(block.level, text)]
        yield from self._take(_Piece(text, Place(page, block.box), is_heading=True))

    def _take(self, piece: _Piece) -> Iterator[Chunk]:
        if self._pieces and tokens("\n\n".join([*(p.text for p in self._pieces), piece.text])) > self._target:
            yield self._chunk()
        self._headings = tuple(text for _, text in self._path)
        self._pieces.append(piece)

    def _chunk(self) -> Chunk:
        pieces, self._pieces = self._pieces, []
        text = "\n\n".join(piece.text for piece in pieces)
        content = "\0".join((self._document, *self._headings, text))
        before = self._seen[content] = self._seen.get(content, 0) + 1
        return Chunk(
            id=hashlib.sha256(f"{content}\0{before}".encode()).hexdigest()[:24],
            text=text,
            tokens=tokens(text),
            pages=tuple(sorted({piece.place.page for piece in pieces})),
            headings=self._headings,
            places=tuple(dict.fromkeys(piece.place for piece in pieces)),
        )


def _text(block: Block) -> str:
    text = flowing([line.text for line in block.lines])
    return f"{block.marker} {text}" if block.marker else text


def _parts(block: Block, target: int) -> Iterator[str]:
    """A block's text in parts of at most `target` tokens each, but for rows and words that are longer by themselves."""
    if block.table is not None:
        yield from _tables(block.table.html, target)
        return
    part = ""
    for sentence in _SENTENCE_END.split(_text(block)):
        for text in [sentence] if tokens(sentence) <= target else sentence.split():
            longer = f"{part} {text}" if part else text
            if part and tokens(longer) > target:
                yield part
                part = text
            else:
                part = longer
    if part:
        yield part


def _tables(html: str, target: int) -> Iterator[str]:
    """A table as one or several, each of whole rows; rows that a cell spans stay together."""
    part = ""
    for rows in _row_groups(html):
        if part and tokens(f"<table>{part}{rows}</table>") > target:
            yield f"<table>{part}</table>"
            part = ""
        part += rows
    yield f"<table>{part}</table>"


def _row_groups(html: str) -> Iterator[str]:
    group, open_rows = "", 0
    for row in _ROW.findall(html):
        spans = [int(number) for number in _ROWSPAN.findall(row)]
        open_rows = max(open_rows - 1, *(span - 1 for span in spans), 0)
        group += row
        if not open_rows:
            yield group
            group = ""
    if group:
        yield group
