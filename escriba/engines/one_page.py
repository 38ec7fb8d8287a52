"""One page through one engine: refused, or read, turned upright and read again where it lies on its side, and found good or wanting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from escriba.document import Block, Evidence, Page, Route, mean_confidence
from escriba.errors import PermanentError
from escriba.layout.evidence import evidence
from escriba.policy import Policy
from escriba.ports import Engine, PageSource, Reading, Rejection
from escriba.triage import shortcoming

_DOUBTFUL = 0.8
"""Mean confidence below which the page may stand on its head."""
_BETTER = 1.2
"""How many times as much must be read of the turned page for it to have been turned rightly."""
_INK_DPI = 72


def read_page(number: int, route: Route, shape: PageSource, engine: Engine, policy: Policy) -> Page | Rejection:
    """Page `number` of the document. What is no `PermanentError` is raised."""
    try:
        reading, turned = _read(route, shape, engine, policy)
        flaw = shape.flaw  # only now: it may show while the page is drawn
    except PermanentError as error:
        return Rejection(number, error.code, str(error))
    upright = Turned(shape, turned)
    page = Page(
        number=number,
        width=round(upright.width, 2),
        height=round(upright.height, 2),
        route=route,
        engine=reading.engine or engine.name,
        state="DONE",
        confidence=mean_confidence(reading.blocks),
        turned=turned,
        blocks=tuple(reading.blocks),
        links=reading.links,
        fields=reading.fields,
        evidence=_evidence(reading, upright, reading.engine or engine.name, policy) if route == "ocr" else None,
    )
    reason = flaw or shortcoming(page, page.evidence.ink if page.evidence else 0.0, policy)
    return msgspec.structs.replace(page, state="DEGRADED", reason=reason) if reason else page


def _evidence(reading: Reading, upright: PageSource, engine: str, policy: Policy) -> Evidence:
    # Ink without words is measured at a resolution of its own, from which the policy's threshold was taken.
    picture = upright.image(policy.ocr.dpi if reading.blocks else _INK_DPI)
    found = evidence(picture, reading.blocks, upright.width, engine, reading.disagreement)
    return msgspec.structs.replace(found, flawed=bool(upright.flaw))


def _read(route: Route, shape: PageSource, engine: Engine, policy: Policy) -> tuple[Reading, int]:
    """The best reading, and the degrees by which the page was turned for it."""
    first = _ask(shape, engine, policy)
    on_side = _on_side(first.blocks)
    if route != "ocr" or not (on_side or (mean_confidence(first.blocks) or 0.0) < _DOUBTFUL):
        return first, 0
    from escriba.engines.tesseract import orientation  # noqa: PLC0415  (only a doubtful page needs it)

    found = orientation(shape.image(policy.ocr.dpi))
    turns = [found] if found else [90, 270] if on_side else []
    again = [(_ask(Turned(shape, degrees), engine, policy), degrees) for degrees in turns]
    best, degrees = max(again, key=lambda reading: weight(reading[0].blocks), default=(first, 0))
    # An engine may read well what lies on its side, but neither lines nor their order can be told from it.
    righted = on_side and not _on_side(best.blocks)
    return (best, degrees) if righted or weight(best.blocks) > _BETTER * weight(first.blocks) else (first, 0)


def _ask(shape: PageSource, engine: Engine, policy: Policy) -> Reading:
    # One page at a time: an engine gains nothing from more here, and a broken page spoils no other.
    [answer] = engine.read([shape], policy)
    if isinstance(answer, PermanentError):
        raise answer
    return answer


def _on_side(blocks: Sequence[Block]) -> bool:
    """Whether most of the text runs up or down the page."""
    lines = [line for block in blocks for line in block.lines if len(line.text) > 2]  # noqa: PLR2004  (a number may well be tall)
    tall = sum(len(line.text) for line in lines if line.box.height > line.box.width)
    return tall * 2 > sum(len(line.text) for line in lines)


def weight(blocks: Sequence[Block]) -> float:
    """How much was read: characters, each by its confidence."""
    return sum(len(word.text) * (word.confidence or 0.0) for block in blocks for line in block.lines for word in line.words)


class Turned:
    """Implements `PageSource`: a page turned clockwise by 0, 90, 180 or 270 degrees."""

    def __init__(self, shape: PageSource, degrees: int) -> None:
        self._shape, self._degrees, self.number = shape, degrees, shape.number
        upright = degrees % 180 == 0
        self.width, self.height = (shape.width, shape.height) if upright else (shape.height, shape.width)

    @property
    def flaw(self) -> str:
        return self._shape.flaw

    def image(self, dpi: int) -> Any:
        return np.ascontiguousarray(np.rot90(self._shape.image(dpi), -self._degrees // 90))

    def native(self) -> Any:
        return self._shape.native()
