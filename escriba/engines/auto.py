"""Two CPU readers, each for what it does best: Tesseract reads every page and sees its columns; RapidOCR reads what Tesseract is unsure of.

Where this machine has no Tesseract data for the policy's languages, RapidOCR reads everything. Each reading says who made it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import msgspec

from escriba.document import Block, Line, Word, mean_confidence
from escriba.engines.one_page import weight
from escriba.engines.rapidocr import RapidOcr
from escriba.engines.tesseract import Tesseract, data_folder
from escriba.errors import EngineRejected
from escriba.guards.grounding import Text, plain, tokens
from escriba.layout.evidence import disagreement
from escriba.layout.guided_order import COLUMNAR, ordered_by, share_in_columns
from escriba.layout.ink import unread_share
from escriba.layout.paragraphs import blocks_from_lines, blocks_in_order
from escriba.layout.spacing import respaced
from escriba.policy import Policy
from escriba.ports import PageSource, Reading

_SURE = 0.93
"""Mean confidence from which Tesseract's words are as good as RapidOCR's; below it they are worse on average (docs/reading-quality.md)."""
_UNREAD = 0.05
"""Share of letter-like specks outside its words up to which Tesseract is believed to have read the page; it is sure of empty pages too."""
_KNOWN = 0.75
"""Share of RapidOCR's words that Tesseract must have seen for its order to be taken."""
_UNCONFIRMED = 0.98
"""What the confidence of a number is worth at most that Tesseract did not read too: RapidOCR is as sure of a wrong digit as of a right one."""


class Auto:
    """Implements `ports.Engine`."""

    name = "auto"
    version = "2"

    def __init__(self) -> None:
        self._tesseract, self._rapidocr = Tesseract(), RapidOcr()

    @staticmethod
    def members(policy: Policy) -> tuple[str, ...]:
        """Names of the engines that read under this policy on this machine."""
        return ("tesseract", "rapidocr") if data_folder(policy.languages) is not None else ("rapidocr",)

    def read(self, pages: Sequence[PageSource], policy: Policy) -> list[Reading | EngineRejected]:
        """Each page as the better of the two reads it, in Tesseract's order where the page has columns of running text."""
        alone = "tesseract" not in self.members(policy)
        return [self._rapid(page, policy, ()) if alone else self._read(page, policy) for page in pages]

    def _read(self, page: PageSource, policy: Policy) -> Reading:
        blocks = self._tesseract.blocks(page, policy)
        reading = Reading(blocks, self._tesseract.name)
        if (mean_confidence(blocks) or 0.0) >= _SURE and _unread(page, blocks, policy) <= _UNREAD:
            return reading
        other = self._rapid(page, policy, [line for block in blocks for line in block.lines])
        better = reading if weight(blocks) > weight(other.blocks) else msgspec.structs.replace(other, blocks=doubted(other.blocks, blocks))
        return msgspec.structs.replace(better, disagreement=disagreement(blocks, other.blocks))

    def _rapid(self, page: PageSource, policy: Policy, guide: Sequence[Line]) -> Reading:
        lines = respaced(self._rapidocr.lines(page, policy), guide)
        if lines and share_in_columns(guide) >= COLUMNAR:
            ordered, known = ordered_by(lines, guide)
            if known >= _KNOWN:
                return Reading(blocks_in_order(ordered, page.width), self._rapidocr.name)
        return Reading(blocks_from_lines(lines, page.width), self._rapidocr.name)


def doubted(blocks: Sequence[Block], other: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks, less sure of each number (two digits and more) that the other reading of the page does not have."""
    text = Text("\n".join(block.text for block in other))

    def doubt(word: Word) -> Word:
        numbers = [token for token in tokens(plain(word.text)) if token[0].isdigit() and len(token) > 1]
        if word.confidence is None or all(map(text.holds_number, numbers)):
            return word
        return msgspec.structs.replace(word, confidence=min(word.confidence, _UNCONFIRMED))

    def lines(block: Block) -> tuple[Line, ...]:
        return tuple(msgspec.structs.replace(line, words=tuple(map(doubt, line.words))) for line in block.lines)

    return tuple(msgspec.structs.replace(block, lines=lines(block)) for block in blocks)


def _unread(page: PageSource, blocks: Sequence[Block], policy: Policy) -> float:
    gray = cv2.cvtColor(page.image(policy.ocr.dpi), cv2.COLOR_RGB2GRAY)
    boxes = [word.box for block in blocks for line in block.lines for word in line.words]
    return unread_share(gray, boxes, gray.shape[1] / page.width)
