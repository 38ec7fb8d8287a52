"""Decides, from what a CPU reading shows of its own quality, whether a vision model is to look at the page, and at which part of it."""

from __future__ import annotations

from escriba.document import Page
from escriba.policy import Policy
from escriba.vision import Region


def regions(page: Page, policy: Policy) -> tuple[Region, ...]:
    """What to look at again: nothing, some rectangles, or all of the page."""
    if not any(page.words()):
        return (Region("unread"),) if page.state == "DEGRADED" else ()
    return (Region("low_confidence"),) if (page.confidence or 0.0) < policy.ocr.min_confidence else ()
