"""A page with a vision model's reading in the place of CPU OCR's: how far its confidence is to be believed."""

from __future__ import annotations

from escriba.document import BoundingBox, Page, mean_confidence
from escriba.layout.alignment import aligned
from escriba.stages.read_vision import Told, merged
from escriba.vision import Region
from tests.unit.test_alignment import block, line, said

WHOLE = BoundingBox(0, 0, 600, 800)
CPU = (block(line("The sample weighed 23.85 grams", 100, confidence=0.9), line("on 14/03/2025 in all", 120, confidence=0.8)),)
PAGE = Page(1, 600, 800, "ocr", "rapidocr", "DONE", confidence=mean_confidence(CPU), blocks=CPU)


def read(text: str) -> Page:
    region = Region("low_confidence")
    return merged(PAGE, [Told(region, aligned(said(text), CPU, WHOLE), "generic")])


def test_an_answer_that_was_falsified_does_not_look_surer() -> None:
    """Words that CPU OCR does not confirm are not left out of the mean: they count as what nobody is sure of."""
    honest, falsified = (
        read("The sample weighed 23.85 grams\non 14/03/2025 in all"),
        read("The sample weighed 28.35 grams\non 14/08/2026 in all"),
    )
    assert honest.confidence == PAGE.confidence
    assert honest.confidence is not None
    assert falsified.confidence is not None
    assert falsified.confidence < honest.confidence - 0.2
    assert falsified.route == "vision"


def test_where_nobody_confirmed_a_word_there_is_no_confidence() -> None:
    """An empty column, not a sure zero: that nobody could confirm it stands in the reason."""
    assert read("Something quite different").confidence is None
