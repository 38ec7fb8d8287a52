"""Decides, from cheap features, which route each page takes, how pages are packed into messages, and whether a reading is good enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from escriba.document import Page, Route
from escriba.policy import Policy, Triage
from escriba.ports import PageFeatures
from escriba.topology import PAGES_PER_TEXT_MESSAGE


def choose_route(page: PageFeatures, thresholds: Triage) -> Route:
    """`text_layer` where the file carries text that can be believed, otherwise `ocr`."""
    if page.characters < thresholds.min_characters:
        # Letters may also be drawn as outlines; without pictures and with a few strokes the text layer is all there is.
        return "ocr" if page.image_coverage > 0 or page.drawings > thresholds.outline_drawings else "text_layer"
    if page.junk > thresholds.max_junk:
        return "ocr"
    if page.image_coverage >= thresholds.full_image and page.hidden_text > thresholds.max_hidden:
        return "ocr"
    return "text_layer"


def pack(routes: Sequence[tuple[int, Route]], size: int = PAGES_PER_TEXT_MESSAGE) -> Iterable[tuple[int, int, Route]]:
    """Runs `(first, last, route)` of pages that travel together: neighbours with a text layer up to `size`, OCR pages alone.

    Packets never cross a multiple of `size`, so that the same document is packed alike wherever planning was interrupted.
    """
    packet: tuple[int, int, Route] | None = None
    for number, route in routes:
        joins = packet is not None and route == "text_layer" == packet[2] and number == packet[1] + 1 and (number - 1) % size
        if packet is not None and joins:
            packet = (packet[0], number, route)
            continue
        if packet is not None:
            yield packet
        packet = (number, number, route)
    if packet is not None:
        yield packet


def shortcoming(page: Page, ink: float, policy: Policy) -> str:
    """Why a page that was read is only DEGRADED; empty when it is good. Unless a vision model reads it better, the reading stands.

    `ink` is the share of the page's pixels that are not background, asked for only where nothing was read.
    """
    if page.route == "ocr" and not any(page.words()):
        return "nothing could be read on a page that is not blank" if ink > policy.ocr.max_blank_ink else ""
    if page.route == "ocr" and page.confidence is not None and page.confidence < policy.ocr.min_confidence:
        return f"low confidence ({page.confidence:.2f})"
    return ""
