"""What a reading is made of: frozen values from a word to a whole document, shared by every engine and format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

SCHEMA_VERSION = 1

Route = Literal["text_layer", "ocr", "vision"]
Urgency = Literal["interactive", "batch"]
PageState = Literal["WAITING", "DONE", "DEGRADED", "QUARANTINED"]
BlockKind = Literal["heading", "paragraph", "list_item", "table", "footnote", "page_header", "page_footer"]

FieldKind = Literal["text", "checkbox", "radio", "choice", "signature", "button"]


_SURE, _SURE_OF_OTHERS = {"rapidocr": 0.95, "tesseract": 0.7}, 0.9
"""Confidence from which an engine is sure of a word: below it half of the words are wrong (docs/reading-quality.md, "The cascade")."""


class BoundingBox(msgspec.Struct, frozen=True, array_like=True):
    """A rectangle in points (1/72 inch), origin top left of the page as displayed (after its rotation)."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @classmethod
    def around(cls, boxes: Iterable[BoundingBox]) -> BoundingBox:
        """The smallest box that holds them all; there must be one."""
        every = tuple(boxes)
        return cls(min(b.x0 for b in every), min(b.y0 for b in every), max(b.x1 for b in every), max(b.y1 for b in every))


class Word(msgspec.Struct, frozen=True, array_like=True):
    """One word; `confidence` is the engine's own, 0 to 1, and None where the file itself carries the text."""

    text: str
    box: BoundingBox
    confidence: float | None = None


class Line(msgspec.Struct, frozen=True):
    """Words that stand on one line, in reading order."""

    box: BoundingBox
    words: tuple[Word, ...]

    @classmethod
    def of(cls, words: Iterable[Word]) -> Line:
        """The line that these words make, boxed around them; there must be one."""
        every = tuple(words)
        return cls(BoundingBox.around(word.box for word in every), every)

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


class Table(msgspec.Struct, frozen=True):
    """A table as one HTML `<table>` element with text-only cells (the spans are in `rowspan` and `colspan`)."""

    html: str


class Block(msgspec.Struct, frozen=True, omit_defaults=True):
    """A paragraph, heading, list item, table, footnote, or running header or footer, in reading order on its page.

    `level` is 1 to 6 on headings; `marker` is the printed bullet or number of an item or heading (its words are not in `lines`);
    `font_size` (points) and `bold` are what headings are decided from; a table keeps its words in `lines` too. `engine` names who read the
    block where that is not the page's engine; `unaligned` are runs of its words, first and last from 0, whose boxes are only estimates, for no
    other reader saw them there.
    """

    kind: BlockKind
    box: BoundingBox
    lines: tuple[Line, ...] = ()
    level: int = 0
    marker: str = ""
    font_size: float = 0.0
    bold: bool = False
    table: Table | None = None
    engine: str = ""
    unaligned: tuple[tuple[int, int], ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


class Link(msgspec.Struct, frozen=True):
    """A place on a page that leads to an address on the web or of mail."""

    uri: str
    box: BoundingBox


class Field(msgspec.Struct, frozen=True):
    """A field of a form and what was filled in: text, a choice, or `Off` and the name of the state that is on."""

    name: str
    kind: FieldKind
    value: str
    box: BoundingBox


class Correction(msgspec.Struct, frozen=True):
    """Words that a language model corrected: where they stand, what CPU OCR read there, and what stands there now."""

    box: BoundingBox
    before: str
    after: str


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the CPU reading of a page shows of its own quality; shares are from 0 to 1.

    `ink` is the share of inked pixels, `unread` that of letter-like specks outside its words, `sure` that of characters whose word the engine
    is sure of, `disagreement` that of words on which two engines differ (None where one read alone), `tabular` that of lines that stand in
    columns without rules, `across` that of characters in lines that may be those of two columns read as one, `handwriting` how likely it is,
    `formulae` the share of characters in what looks like formulae. `unread_at` is where specks outside words stand close together. Of a `flawed`
    page the file itself lacks a part.
    """

    ink: float = 0.0
    unread: float = 0.0
    sure: float = 0.0
    disagreement: float | None = None
    tabular: float = 0.0
    across: float = 0.0
    handwriting: float = 0.0
    formulae: float = 0.0
    flawed: bool = False
    unread_at: tuple[BoundingBox, ...] = ()


class Page(msgspec.Struct, frozen=True):
    """One page as read: `number` from 1, `width` and `height` in points as displayed, blocks in reading order.

    `confidence` is the mean of the words' (None for a text layer; what a vision model read and CPU OCR does not confirm counts as 0);
    `reason` says why a page is DEGRADED or QUARANTINED; `turned` is how many degrees clockwise the page was turned to be read: its size and boxes
    are those of the turned page. `corrections` are the words that the model `corrected_by` changed, absent where there are none.
    """

    number: int
    width: float
    height: float
    route: Route
    engine: str
    state: PageState
    reason: str = ""
    confidence: float | None = None
    turned: int = 0
    blocks: tuple[Block, ...] = ()
    links: tuple[Link, ...] = ()
    fields: tuple[Field, ...] = ()
    evidence: Evidence | None = None
    corrected_by: str | msgspec.UnsetType = msgspec.UNSET
    corrections: tuple[Correction, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def flawed(self) -> bool:
        """Whether the file itself lacks a part of the page."""
        return self.evidence is not None and self.evidence.flawed

    def words(self) -> Iterator[Word]:
        for block in self.blocks:
            for line in block.lines:
                yield from line.words


class Document(msgspec.Struct, frozen=True):
    """A whole reading. It holds nothing that varies between two runs over the same bytes under the same policy."""

    schema_version: int
    sha256: str
    media_type: str
    languages: tuple[str, ...]
    pages: tuple[Page, ...]


def mean_confidence(blocks: Sequence[Block]) -> float | None:
    """Mean over words, weighted by their length; None where no word carries one."""
    words = [(len(w.text), w.confidence) for b in blocks for line in b.lines for w in line.words if w.confidence is not None]
    weight = sum(length for length, _ in words)
    return round(sum(length * confidence for length, confidence in words) / weight, 4) if weight else None


def confirmed_confidence(blocks: Sequence[Block]) -> float | None:
    """`mean_confidence` of words that another reader was to confirm: one that it did not counts as 0; None where it confirmed none."""
    lengths = [(len(word.text), word.confidence is not None) for block in blocks for line in block.lines for word in line.words]
    confirmed, mean = sum(length for length, has in lengths if has), mean_confidence(blocks)
    return None if mean is None else round(mean * confirmed / sum(length for length, _ in lengths), 4)


def is_sure(word: Word, engine: str) -> bool:
    """Whether the engine that read a word is sure of it: each has its own scale, and one that gives no confidence shows no doubt."""
    return word.confidence is None or word.confidence >= _SURE.get(engine, _SURE_OF_OTHERS)


def sure_share(words: Iterable[Word], engine: str) -> float:
    """Share (0 to 1) of the characters whose word the engine is sure of; 0 without words."""
    lengths = [(len(word.text), is_sure(word, engine)) for word in words]
    total = sum(length for length, _ in lengths)
    return sum(length for length, sure in lengths if sure) / total if total else 0.0
