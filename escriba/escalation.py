"""Decides from what CPU OCR made of a page whether a vision model should look at it: at nothing, at the hard parts, or at all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from escriba.document import BoundingBox, Evidence, Line, Page, sure_share
from escriba.guards.correction import may_change
from escriba.layout.columns_read_across import lines_across
from escriba.policy import Ocr, Policy
from escriba.vision import Cause, Region

COEFFICIENTS = {"unsure": 0.519, "across": 0.324, "unread": 0.111}
"""Expected share of wrong characters for each evidence, fitted on the tuning half (even SHA-256) of the development scans by
`escriba eval cascade --data ../shared/data/scans --fit`; docs/reading-quality.md, "The cascade", says which other evidences were tried."""
_BLANK = Ocr().max_blank_ink
_CAUSES: dict[str, Cause] = {"unsure": "low_confidence", "across": "table", "unread": "unread"}
_HANDWRITTEN = _FORMULAE = _DIFFER = 0.5
"""Evidence from which the cause is named after it."""
_CROPS = 3
_MARGIN = 0.3  # heights of a line around a crop: more would show the half of other lines
_NEAR = 2.0  # heights of a line between two hard places that are cut out as one
_MOST = 0.5  # share of the characters, or of the printed area, in crops from which the page is sent whole
_LEFT = 0.5  # share of the page's expected errors that crops may leave behind
_HARD = 0.5  # share of a line's characters in doubtful words from which the line is hard


def features(page: Page) -> dict[str, float]:
    """What `expected_error` weighs, from 0 to 1: characters of doubtful words, of lines read across columns, and specks not read."""
    seen = page.evidence or Evidence()
    return {"unsure": 1 - sure_share(page.words(), page.engine), "across": seen.across, "unread": seen.unread}


def expected_error(page: Page) -> float:
    """The expected share (0 to 1) of wrong characters in a page read by CPU OCR: wrongly read, not read, or in the wrong place.

    1 where nothing was read of a page that is not blank; 0 for a blank page and one without evidence, which was not read by OCR.
    """
    if page.evidence is None:
        return 0.0
    if not any(page.words()):
        return float(page.evidence.ink > _BLANK)
    return min(sum(COEFFICIENTS[name] * value for name, value in features(page).items()), 1.0)


def regions(page: Page, policy: Policy) -> tuple[Region, ...]:
    """What a vision model is to look at: nothing, up to three parts of the page, or all of it (a region without a box)."""
    if not policy.vision.enabled or page.evidence is None or expected_error(page) < policy.vision.threshold:
        return ()
    if not any(page.words()):
        # The policy may know paper that is never quite white.
        return (Region("unread"),) if page.evidence.ink > policy.ocr.max_blank_ink else ()
    cause = _cause(page, page.evidence)
    crops = _crops(page, page.evidence) if policy.vision.crops and cause != "handwriting" else ()
    return tuple(Region(cause, box) for box in crops) or (Region(cause),)


def wants_correction(page: Page, policy: Policy) -> bool:
    """Whether a page read by CPU OCR that is not hard has words in doubt that a language model may correct from the text alone."""
    if not (policy.vision.enabled and policy.vision.correction and page.route == "ocr" and page.state == "DONE") or regions(page, policy):
        return False
    return any(may_change(word, page.engine) for line in text_lines(page) for word in line.words)


def text_lines(page: Page) -> tuple[Line, ...]:
    """The lines that may be corrected, in reading order: a table's words stand a second time in its markup."""
    return tuple(line for block in page.blocks if block.table is None for line in block.lines)


def _cause(page: Page, seen: Evidence) -> Cause:
    """What weighs most, by its most telling name."""
    if seen.handwriting >= _HANDWRITTEN:
        return "handwriting"
    if seen.formulae >= _FORMULAE:
        return "formula"
    found = features(page)
    cause = _CAUSES[max(found, key=lambda name: COEFFICIENTS[name] * found[name])]
    differ = cause == "low_confidence" and (seen.disagreement or 0.0) >= _DIFFER and found["unsure"] <= _HARD
    return "disagreement" if differ else cause


def _crops(page: Page, seen: Evidence) -> tuple[BoundingBox, ...]:
    """The hard places with a margin, from top to bottom, no line cut; none where the page had better be sent whole."""
    lines = [line for block in page.blocks for line in block.lines]
    across = lines_across(lines)
    hard = [line.box for i, line in enumerate(lines) if i in across or _doubt(line, page.engine) >= _HARD]
    boxes = _joined([*hard, *seen.unread_at], _height(lines))
    while boxes != (grown := _joined([_with_lines(box, lines) for box in boxes], _height(lines))):
        boxes = grown
    outside = [line for line in lines if not any(_overlap(box, line.box) for box in boxes)]
    printed = BoundingBox.around((*(line.box for line in lines), *boxes))
    if _length(outside) < (1 - _MOST) * _length(lines) or sum(map(_area, boxes)) > _MOST * _area(printed):
        return ()
    # What would be left: characters in doubt here and there, of which no line has many.
    left = COEFFICIENTS["unsure"] * sum(_doubt(line, page.engine) * _length([line]) for line in outside) / _length(lines)
    if left > _LEFT * expected_error(page):
        return ()
    margin = _MARGIN * _height(lines)
    return tuple(
        BoundingBox(
            round(max(box.x0 - margin, 0.0), 2),
            round(max(box.y0 - margin, 0.0), 2),
            round(min(box.x1 + margin, page.width), 2),
            round(min(box.y1 + margin, page.height), 2),
        )
        for box in boxes
    )


def _length(lines: Sequence[Line]) -> int:
    return sum(len(word.text) for line in lines for word in line.words)


def _doubt(line: Line, engine: str) -> float:
    """The share of its characters in words of which the engine is not sure."""
    return 1 - sure_share(line.words, engine)


def _height(lines: Sequence[Line]) -> float:
    heights = sorted(line.box.height for line in lines)
    return heights[len(heights) // 2]


def _joined(boxes: Sequence[BoundingBox], height: float) -> list[BoundingBox]:
    """Boxes that touch or nearly do made one, then those nearest to each other until few are left; from top to bottom."""
    left = sorted(boxes, key=lambda box: (box.y0, box.x0))
    while len(left) > 1:
        distance, i, j = min(_pairs(left))
        if distance > _NEAR * height and len(left) <= _CROPS:
            break
        one = BoundingBox.around((left[i], left[j]))
        left = sorted([*(box for place, box in enumerate(left) if place not in {i, j}), one], key=lambda box: (box.y0, box.x0))
    return left


def _pairs(boxes: Sequence[BoundingBox]) -> Iterator[tuple[float, int, int]]:
    for i, one in enumerate(boxes):
        for j in range(i + 1, len(boxes)):
            beside = max(one.x0, boxes[j].x0) - min(one.x1, boxes[j].x1)
            below = max(one.y0, boxes[j].y0) - min(one.y1, boxes[j].y1)
            yield max(beside, below, 0.0), i, j


def _with_lines(box: BoundingBox, lines: Sequence[Line]) -> BoundingBox:
    """The box grown to hold every line that it cuts."""
    return BoundingBox.around((box, *(line.box for line in lines if _overlap(box, line.box) > 0)))


def _overlap(one: BoundingBox, other: BoundingBox) -> float:
    width, height = min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _area(box: BoundingBox) -> float:
    return box.width * box.height
