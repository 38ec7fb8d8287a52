"""Character, word and order figures, by cases small enough to count on one's fingers."""

from __future__ import annotations

import pytest

from escriba.evaluation.marking import marked
from escriba.evaluation.split import document_of, half_of
from escriba.evaluation.statistics import estimate, permutation_p
from escriba.evaluation.texts import normalised, plain_text, score_digital, score_scan, split_words


@pytest.mark.parametrize(
    ("truth", "read", "cer", "wer", "f1"),
    [
        ("Ação  judicial\nnº 5", "Ac\u0327a\u0303o judicial nº 5", 0, 0, 1),  # composed or not, one space or two
        ("abcd", "abxd", 1 / 4, 1, 0),
        ("TOTAL 5.00", "Total 5.00", 4 / 10, 1 / 2, 1 / 2),
        ("ab cd", "cd ab", 4 / 5, 1, 1),  # all words there, none in its place
        ("a b", "a (b).", 3 / 3, 1 / 2, 1),  # punctuation at a word's ends is an error, yet not another word
        ("text", "", 1, 1, 0),
        ("", "", 0, 0, 1),
        ("", "noise", 1, 1, 0),
        ("ab", "abcdef", 2, 1, 0),  # more errors than characters
        ("天气影响", "天气，影", 2 / 4, 2 / 4, 6 / 7),  # each character is a word; bare punctuation is none
    ],
)
def test_scans_by_hand(truth: str, read: str, cer: float, wer: float, f1: float) -> None:
    """CER and WER follow the order, F1 does not."""
    score = score_scan(truth, read)
    assert (score.cer, score.wer, score.f1) == pytest.approx((cer, wer, f1))


def test_case_counts_unless_folded() -> None:
    """Receipts transcribed in capitals are compared without case."""
    assert score_scan("TOTAL ẞ", "total ss").cer > 0
    assert score_scan("TOTAL ẞ", "total ss", fold=True).cer == 0


@pytest.mark.parametrize(
    ("truth", "read", "recall", "precision", "order"),
    [
        ("one two three fine", "one two three ﬁne", 1, 1, 1),
        ("a b c d", "c d a b", 1, 1, 1 / 2),  # two of four kept in order
        ("a x b y", "a b", 1 / 2, 1, 1),  # what is missing does not disturb the order
        ("a", "", 0, 0, 0),
        ("a a b", "a a a", 2 / 3, 2 / 3, 1),
        ("(की)", "क", 0, 0, 0),  # a vowel sign is no punctuation
    ],
)
def test_digital_documents_by_hand(truth: str, read: str, recall: float, precision: float, order: float) -> None:
    """Words found, words invented, and the order of those that both have."""
    score = score_digital(truth, read)
    assert (score.recall, score.precision, score.order) == pytest.approx((recall, precision, order))


def test_markdown_leaves_its_words() -> None:
    """Headings, emphasis, links, code, tables, HTML, comments, entities; what only looks like a tag stays."""
    text = "# Title\n\n**Bold** *it* and [link](http://x) ![pic](y) `code`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n- item <lazy>\n> said\n<br/>5 \\* 3 &amp; 2<!-- page\n1 -->"
    assert normalised(plain_text(text)) == "Title Bold it and link pic code a b 1 2 item <lazy> said 5 * 3 & 2"


def test_words() -> None:
    """CJK characters stand alone beside other words; more than a tenth of them make a text CJK."""
    assert score_scan("天abcdefgh", "").cjk
    assert not score_scan("天abcdefghi", "").cjk
    assert split_words("天气ab c") == ["天", "气", "ab", "c"]


@pytest.mark.parametrize(
    ("page", "document"),
    [
        ("dracula_page_52", "dracula"),
        ("otranto_1_pdf_page_7", "otranto_1"),
        ("report-p12", "report"),
        ("galli_bpt6k1110784_f20", "galli_bpt6k1110784"),
        ("tulu_B04_P25", "tulu_B04"),
        ("folio_f20v", "folio"),
        ("sroie_004", "sroie_004"),  # a number alone may be a document's
        ("map5", "map5"),
        ("_p1", "_p1"),  # nothing would be left
    ],
)
def test_pages_of_a_document_are_told_by_their_mark(page: str, document: str) -> None:
    """And they fall into the same half."""
    assert document_of(page) == document
    assert half_of(page) == half_of(document)


def test_the_halves_are_fixed_for_ever() -> None:
    """By the last bit of the SHA-256 of the name, whatever the machine."""
    halves = {name: half_of(name) for name in ("report", "mixed", "ação", "mixed_page_1", "mixed-p22")}
    assert halves == {"report": "reporting", "mixed": "tuning", "ação": "reporting", "mixed_page_1": "tuning", "mixed-p22": "tuning"}
    assert 400 < sum(half_of(f"document {n}") == "tuning" for n in range(1000)) < 600


def test_an_interval_by_hand() -> None:
    """Two documents of values 0 and 1 give means 0, 1/2 or 1; one document gives no interval; pages of a document go together."""
    found = estimate([0, 1], ["a", "b"])
    assert (found.mean, found.low, found.high) == (0.5, 0, 1)
    assert estimate([0, 1], ["a", "a"]).low is None
    assert estimate([3, 1, 1], ["a", "b", "b"], [2, 1, 1]).mean == 2
    many = [float(n % 2) for n in range(100)]
    apart, together = estimate(many, [str(n) for n in range(100)]), estimate(many, [str(n % 2) for n in range(100)])
    assert 0.3 < (apart.low or 0) < 0.45
    assert (together.low, together.high) == (0, 1)
    assert estimate(many, [str(n) for n in range(100)]) == apart


def test_a_permutation_by_hand() -> None:
    """Of the eight patterns of signs of 1, 1, 1 two are as far from 0; balanced differences mean nothing; pages of a document flip together."""
    assert permutation_p([1, 1, 1], ["a", "b", "c"]) == 2 / 8
    assert permutation_p([1, 1, 1], ["a", "b", "b"]) == 2 / 4
    assert permutation_p([1, -1], ["a", "b"]) == 1
    assert permutation_p([0.0] * 20, [str(n) for n in range(20)]) == 1
    assert permutation_p([1.0] * 30, [str(n) for n in range(30)]) < 0.001


def test_wrong_words_are_marked_and_nothing_becomes_markup() -> None:
    """Marked, struck, escaped; white space as it was."""
    assert marked("one too\nfour", "one two four") == "one <del>two</del> <mark>too</mark>\nfour"
    assert marked("a <b>x</b>", "a y") == "a <del>y</del> <mark>&lt;b&gt;x&lt;/b&gt;</mark>"
    assert marked("<b>", "<b>") == "&lt;b&gt;"
    assert marked("A", "a", fold=True) == "A"
    assert marked("", "<i>") == "<del>&lt;i&gt;</del> "
    assert "(4 characters more)" in marked("w " * 4000 + "last", "w " * 4000)
