"""Which pages a vision model is to look at, and which part of them: one page made for each case."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from escriba.document import Block, BoundingBox, Evidence, Line, Page, Word
from escriba.escalation import COEFFICIENTS, expected_error, regions
from escriba.policy import Policy, Vision
from tests.unit.test_evidence import line

POLICY, LOW = (Policy(vision=Vision(threshold=threshold)) for threshold in (0.15, 0.05))
GOOD = Evidence(ink=0.05, sure=1.0)


def page(lines: list[Line], evidence: Evidence | None = GOOD) -> Page:
    blocks = tuple(Block("paragraph", each.box, (each,)) for each in lines)
    return Page(1, 400, 600, "ocr", "tesseract", "DONE", confidence=0.9, blocks=blocks, evidence=evidence)


def paragraph(first: float = 20, count: int = 20, confidence: float = 0.99) -> list[Line]:
    return [line("the harbour moved forty thousand crates", 20, first + 20 * n, confidence=confidence) for n in range(count)]


def test_a_page_read_well_and_a_page_with_a_text_layer_are_left_alone() -> None:
    """No evidence against the reading: nobody is asked."""
    assert expected_error(page(paragraph())) < 0.02
    assert regions(page(paragraph()), POLICY) == ()
    digital = page(paragraph(confidence=0.1), None)
    assert (expected_error(digital), regions(digital, POLICY)) == (0, ())


def test_a_page_without_words_is_asked_about_only_where_there_is_ink() -> None:
    """A blank page stays blank; the policy may know paper that is never quite white."""
    blank, dark = page([], Evidence(ink=0.001)), page([], Evidence(ink=0.03))
    assert (expected_error(blank), regions(blank, POLICY)) == (0, ())
    assert expected_error(dark) == 1
    [whole] = regions(dark, POLICY)
    assert (whole.cause, whole.box) == ("unread", None)
    grey = Policy.model_validate({"ocr": {"max_blank_ink": 0.05}})
    assert regions(dark, grey) == ()


def test_nobody_is_asked_below_the_policys_threshold_or_against_its_wish() -> None:
    """The same page at two thresholds, and with vision switched off."""
    doubtful = page(paragraph(count=12) + paragraph(260, 8, confidence=0.5))
    assert 0.2 < expected_error(doubtful) < 0.3
    assert regions(doubtful, POLICY) != ()
    assert regions(doubtful, Policy(vision=Vision(threshold=0.4))) == ()
    assert regions(doubtful, Policy(vision=Vision(enabled=False))) == ()


def test_each_cause_has_its_name() -> None:
    """What weighs most, by its most telling name; a hand is read as a whole page."""
    bad, good = paragraph(confidence=0.5), paragraph()
    doubtful = [Line.of(replace(word, confidence=0.5 if n < 2 else 0.99) for n, word in enumerate(each.words)) for each in paragraph()]
    for name, lines, evidence in (
        ("low_confidence", bad, GOOD),
        ("disagreement", doubtful, replace(GOOD, disagreement=0.8)),
        ("low_confidence", bad, replace(GOOD, disagreement=0.8)),
        ("handwriting", bad, replace(GOOD, handwriting=0.9)),
        ("formula", bad, replace(GOOD, formulae=0.7)),
        ("table", good, replace(GOOD, across=0.8)),
        ("unread", good, replace(GOOD, unread=0.95)),
    ):
        [region] = regions(page(lines, evidence), LOW)
        assert (region.cause, region.box) == (name, None)


def test_the_hard_part_alone_is_sent_where_that_is_enough() -> None:
    """Seven doubtful lines at the foot of a page: one box around them with a margin, no good line cut."""
    lines = paragraph(count=15) + paragraph(400, 7, confidence=0.4)
    hard = page(lines)
    [region] = regions(hard, POLICY)
    assert region.cause == "low_confidence"
    assert region.box is not None
    assert region.box.y0 < 400
    assert region.box.y1 > 490
    assert not any(region.box.y0 < each.box.y1 and each.box.y0 < region.box.y0 for each in lines)
    assert regions(hard, Policy(vision=Vision(crops=False)))[0].box is None
    by_hand = replace(hard, evidence=replace(GOOD, handwriting=0.9))
    assert [(each.cause, each.box) for each in regions(by_hand, POLICY)] == [("handwriting", None)]


def test_most_of_a_page_is_sent_as_the_page() -> None:
    """Where the crops would hold more than half of the characters; and where nothing is hard but the sum of small doubts."""
    mostly = page(paragraph(count=6) + paragraph(160, 14, confidence=0.4))
    assert [region.box for region in regions(mostly, POLICY)] == [None]
    spread = [Line.of(replace(word, confidence=0.5 if n < 2 else 0.99) for n, word in enumerate(each.words)) for each in paragraph()]
    assert [region.box for region in regions(page(spread), POLICY)] == [None]


def test_crops_that_would_leave_too_much_behind_are_not_sent() -> None:
    """Four lines are hard; of each of the others four tenths are in doubt, which no crop would mend."""
    half_sure = [
        Line.of(replace(word, confidence=0.5 if n < 3 else 0.99) for n, word in enumerate(each.words)) for each in paragraph(count=16)
    ]
    hard = page(half_sure + paragraph(400, 4, confidence=0.4))
    assert [region.box for region in regions(hard, POLICY)] == [None]


def test_unread_ink_is_cut_out_where_it_stands() -> None:
    """A place without a word, and all of the line that it touches."""
    seen = replace(GOOD, unread=0.9, unread_at=(BoundingBox(30, 405, 200, 520),))
    [region] = regions(page(paragraph(), seen), LOW)
    assert region.cause == "unread"
    assert region.box is not None
    [touched] = [each for each in paragraph() if each.box.y1 > 405]
    assert region.box.x0 < touched.box.x0
    assert region.box.y0 < touched.box.y0
    assert region.box.x1 > touched.box.x1
    assert region.box.y1 > 520


def test_two_columns_read_as_one_are_cut_out_whole() -> None:
    """Also the lines of which the engine was sure: it read each well, and all in the wrong place."""
    across = [line(f"left column{' ' * 6}right one", 20, 440 + 16 * n) for n in range(6)]
    [region] = regions(page(paragraph() + across, replace(GOOD, across=0.6)), POLICY)
    assert region.cause == "table"
    assert region.box is not None
    assert region.box.y0 < 440
    assert region.box.y1 > 530


def test_there_are_never_more_than_three_crops_and_none_lies_in_another() -> None:
    """Four hard lines apart on a long page become three boxes, the nearest two joined."""
    hard = {0, 3, 20, 45}
    lines = [line("the harbour moved forty thousand crates", 20, 20 + 12 * n, confidence=0.3 if n in hard else 0.99) for n in range(48)]
    found = regions(page(lines), Policy(vision=Vision(threshold=0.03)))
    assert [round(region.box.y0) for region in found if region.box is not None] == [17, 257, 557]
    first = found[0].box
    assert first is not None
    assert first.y1 == 69


_SHARES = st.floats(0, 1)


@given(st.integers(0, 20), _SHARES, _SHARES, _SHARES)
def test_more_evidence_never_means_fewer_errors(doubtful: int, across: float, unread: float, more: float) -> None:
    """Every coefficient is positive, and the expectation stays a share."""
    assert all(value > 0 for value in COEFFICIENTS.values())
    lines = paragraph(count=20 - doubtful) + paragraph(20 + 20 * (20 - doubtful), doubtful, confidence=0.5)
    some = page(lines, Evidence(ink=0.05, across=across, unread=unread))
    assert 0 <= expected_error(some) <= 1
    for name in ("across", "unread"):
        worse = page(lines, replace(some.evidence, **{name: max(getattr(some.evidence, name), more)}))
        assert expected_error(worse) >= expected_error(some)
    assert expected_error(page([*lines, *paragraph(500, 3, confidence=0.1)], some.evidence)) >= expected_error(some) - 1e-9 * doubtful


@given(st.lists(st.tuples(st.floats(0, 350), st.floats(0, 580), st.floats(0, 1)), max_size=25), _SHARES, _SHARES)
def test_boxes_lie_on_the_page_whatever_was_read(places: list[tuple[float, float, float]], across: float, unread: float) -> None:
    """At most three, in order, on the page; a line is in a box or out of all of them."""
    lines = [Line.of([Word("some", BoundingBox(x, y, x + 40, y + 10), confidence)]) for x, y, confidence in places]
    found = regions(page(lines, Evidence(ink=0.05, unread=unread, across=across)), Policy(vision=Vision(threshold=0.01)))
    boxes = [region.box for region in found if region.box is not None]
    assert len(found) <= 3
    assert not boxes or len(boxes) == len(found)
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= 400
        assert 0 <= box.y0 < box.y1 <= 600
