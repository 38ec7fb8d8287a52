"""What a page's picture and its reading show together: each measure against pages drawn so that the answer is known."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pymupdf
import pytest
from msgspec.structs import replace

from escriba.document import Block, BoundingBox, Evidence, Line, Page, Word, sure_share
from escriba.engines.one_page import read_page
from escriba.layout.columns_read_across import across_share, tabular_share, wide_whites
from escriba.layout.evidence import disagreement, evidence
from escriba.policy import Policy
from escriba.ports import Reading
from tests.unit.test_auto import LEFT, POLICY, Shape, columns, engine, grainy, image, read

SCALE = 200 / 72
WIDTH, ENGINE = 400.0, "rapidocr"


def line(text: str, x0: float, y0: float, *, step: float = 6, height: float = 10, confidence: float = 0.99) -> Line:
    """Words side by side, two spaces of white being wide; one letter is `step` points wide."""
    words, x = [], x0
    for piece in text.split(" "):
        if piece:
            words.append(Word(piece, BoundingBox(x, y0, x + step * len(piece), y0 + height), confidence))
        x += step * (len(piece) + 1)
    return Line.of(words)


def block(*lines: Line) -> Block:
    return Block("paragraph", BoundingBox.around(each.box for each in lines), lines)


def drawn(lines: list[Line], draw: bool = True) -> np.ndarray:
    """A page 400 points wide on which each word is set in its box."""
    page = pymupdf.open().new_page(width=WIDTH, height=300)
    for each in lines if draw else []:
        for word in each.words:
            page.insert_text((word.box.x0, word.box.y1 - 2), word.text, fontsize=10)
    return image(page, 200)


def seen(lines: list[Line], pixels: np.ndarray | None = None) -> Evidence:
    return evidence(drawn(lines) if pixels is None else pixels, [block(*lines)], WIDTH, ENGINE)


PARAGRAPH = [line("the harbour moved forty thousand crates that year", 20, 20 + 14 * n) for n in range(10)]


def test_a_page_read_well_shows_nothing_against_it() -> None:
    """Sure of every word, none of the ink outside them, nothing that looks like a table, a hand or a formula."""
    found = seen(PARAGRAPH)
    assert found.ink > 0.01
    assert (found.unread, found.sure, found.tabular, found.across, found.handwriting, found.formulae) == (0, 1, 0, 0, 0, 0)
    assert found.unread_at == ()
    assert found.disagreement is None


def test_what_was_not_read_is_measured_and_found() -> None:
    """Four of ten lines without words: about four tenths, and where they stand."""
    found = evidence(drawn(PARAGRAPH), [block(*PARAGRAPH[:6])], WIDTH, ENGINE)
    assert found.unread == pytest.approx(0.4, abs=0.05)
    [place] = found.unread_at
    missed = BoundingBox.around(each.box for each in PARAGRAPH[6:])
    assert abs(place.y0 - missed.y0) < 6
    assert abs(place.y1 - missed.y1) < 6
    assert place.x0 < missed.x0 + 10
    assert seen(PARAGRAPH[:6], drawn(PARAGRAPH[:6])).unread_at == ()


def test_doubtful_words_count_by_their_length() -> None:
    """One long word in doubt weighs as much as its letters; one without any confidence shows no doubt."""
    words = line("abc abcdefghi", 20, 20).words
    unsure = Line.of((words[0], replace(words[1], confidence=0.5)))
    assert seen([unsure]).sure == 0.25
    assert seen([Line.of(replace(word, confidence=None) for word in words)]).sure == 1


def test_each_engine_has_its_own_scale_of_sureness() -> None:
    """What Tesseract is sure of RapidOCR may doubt, as half of such words are wrong; of others nine tenths are asked."""
    words = line("some words of a line", 20, 20, confidence=0.92).words
    assert [sure_share(words, engine) for engine in ("tesseract", "rapidocr", "another")] == [1, 0, 1]
    assert [sure_share(line("some", 20, 20, confidence=0.69).words, engine) for engine in ("tesseract", "another")] == [0, 0]
    assert sure_share([], "another") == 0


def table(rows: int, right: str = "12.50") -> list[Line]:
    return [line(f"item{n:02} {' ' * 12}{right}{' ' * 8}{right}", 20, 20 + 20 * n) for n in range(rows)]


def test_columns_without_rules_are_told_from_ruled_ones_and_from_running_text() -> None:
    """Three rows or more whose white lies above each other; where a rule runs down the white, the grid is plain to any reader."""
    assert seen(table(5)).tabular == 1.0
    assert seen(table(2)).tabular == 0.0
    assert seen(PARAGRAPH).tabular == 0.0
    ruled = drawn(table(5)).copy()
    for gap in wide_whites(table(5)):
        x = round((gap.x0 + gap.x1) / 2 * SCALE)
        cv2.line(ruled, (x, round(10 * SCALE)), (x, round(120 * SCALE)), (0, 0, 0), 2)
    assert seen(table(5), ruled).tabular == 0.0


def test_white_that_goes_nowhere_is_no_column() -> None:
    """A wide space here and there, never above another."""
    scattered = [line("word" + " " * (4 + 9 * (n % 3)) + "word", 20 + 40 * (n % 2), 20 + 20 * n) for n in range(6)]
    assert tabular_share(scattered, [white for white in wide_whites(scattered) if white.line % 3 == 0]) == 0.0
    assert tabular_share([], []) == 0.0


def test_two_columns_read_as_one_show_and_a_column_of_prices_does_not() -> None:
    """There are words on both sides of one gutter; prices may stand beside what they are for."""
    both = [line(f"the left column{' ' * 6}goes on here", 20, 20 + 14 * n) for n in range(6)]
    assert across_share(both) == 1.0
    assert across_share([*both, *PARAGRAPH[:2]]) == pytest.approx(0.66, abs=0.03)
    assert across_share(table(6)) == 0.0
    assert across_share([]) == 0.0


def test_a_hand_is_told_from_print() -> None:
    """Strokes joined along each line and words in doubt: a hand. Print in doubt is not, nor are joined strokes that an engine is sure of."""
    lines = [line("such words as these were written by hand", 20, 20 + 22 * n, confidence=0.4) for n in range(8)]
    written = np.full((round(300 * SCALE), round(WIDTH * SCALE), 3), 255, np.uint8)
    for each in lines:
        for word in each.words:
            x = np.linspace(word.box.x0, word.box.x1, 200)
            y = (word.box.y0 + word.box.y1) / 2 + 4 * np.sin(x * 1.1) * np.cos(x * 0.31)
            cv2.polylines(
                written, [np.round(np.stack([x, y], 1) * SCALE).astype(np.int32)], isClosed=False, color=(40, 40, 60), thickness=2
            )
    assert seen(lines, written).handwriting > 0.8
    assert seen(lines).handwriting < 0.3
    sure = [Line.of(replace(word, confidence=0.99) for word in each.words) for each in lines]
    assert seen(sure, written).handwriting == 0


def test_formulae_show() -> None:
    """Operators that outnumber the words; a price, a date and a hyphen are none."""
    assert seen([line("x^2 + y^2 = r^2", 20, 20), line("and so on for ever", 20, 40)]).formulae == pytest.approx(0.46, abs=0.05)
    assert seen([line("12.50 EUR on 03/04/2018 well-known", 20, 20)]).formulae == 0


def test_engines_that_differ() -> None:
    """By letters and digits, in any order, long words more; nobody is asked about a script that he does not know."""
    one = [block(line("Harbour, the 12 crates", 20, 20))]
    assert disagreement(one, one) == 0
    assert disagreement(one, [block(line("crates 12 THE harbour", 20, 20))]) == 0
    assert disagreement(one, [block(line("Harbour the 17 crates", 20, 20))]) == pytest.approx(2 / 18)
    assert disagreement(one, []) == 1
    assert disagreement([], []) == 0
    assert disagreement([block(line("港は静かだった", 20, 20))], [block(line("BIL BAR SVE", 20, 20))]) is None
    assert disagreement([block(line("港は静か", 20, 20))], [block(line("港は静か", 20, 20))]) == 0


def test_a_page_read_by_ocr_carries_its_evidence_and_no_other_does() -> None:
    """Where two engines read, how far they differ too; twice the same."""
    clean, rough = read(columns()), read(grainy(columns()))
    assert clean.evidence is not None
    assert rough.evidence is not None
    assert clean.evidence.disagreement is None
    assert 0 < (rough.evidence.disagreement or 0) < 1
    assert clean.evidence.sure > rough.evidence.sure or rough.evidence.unread > clean.evidence.unread
    assert read(columns()).evidence == clean.evidence
    digital = read_page(1, "text_layer", Shape(columns()), engine("tesseract"), POLICY)
    assert isinstance(digital, Page)
    assert digital.evidence is None


def test_a_turned_page_is_measured_upright() -> None:
    """Otherwise every word would be looked for in the wrong place."""
    page = read(np.ascontiguousarray(np.rot90(columns())))
    assert page.turned == 90
    assert page.evidence is not None
    assert page.evidence.unread < 0.05


def test_a_blank_page_has_no_ink_and_a_page_of_blots_has() -> None:
    """Without words there is ink alone to go by, measured as the policy's threshold was."""

    class Nothing:
        name, version = "nothing", "1"

        def read(self, pages: object, policy: Policy) -> list[Reading]:
            return [Reading(())]

    blots = np.full((800, 600, 3), 255, np.uint8)
    for n in range(12):
        cv2.circle(blots, (50 + 45 * n, 400), 18, (0, 0, 0), -1)
    white, dark = (read_page(1, "ocr", Shape(pixels), Nothing(), POLICY) for pixels in (np.full_like(blots, 255), blots))
    assert isinstance(white, Page)
    assert isinstance(dark, Page)
    assert (white.evidence, white.state) == (Evidence(), "DONE")
    assert dark.evidence is not None
    assert dark.evidence.ink > 0.01
    assert dark.state == "DEGRADED"


def test_evidence_costs_a_tenth_of_reading_at_most() -> None:
    """In processor time on the same page, beside the faster engine alone."""
    pixels, tesseract = columns(), engine("tesseract")
    [reading] = tesseract.read([Shape(pixels)], POLICY)
    assert isinstance(reading, Reading)
    assert LEFT[:20] in " ".join(word.text for each in reading.blocks for row in each.lines for word in row.words)

    def seconds(what: object) -> float:
        begun = time.process_time()
        what()  # type: ignore[operator]
        return time.process_time() - begun

    reading_time = min(seconds(lambda: tesseract.read([Shape(pixels)], POLICY)) for _ in range(2))
    evidence_time = min(seconds(lambda: evidence(pixels, reading.blocks, Shape(pixels).width, "tesseract")) for _ in range(5))
    assert evidence_time < 0.1 * reading_time
