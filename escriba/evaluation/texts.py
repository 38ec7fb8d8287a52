"""How near a text is to its truth: character and word errors of scans, words and their order in born-digital documents."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import msgspec
from rapidfuzz.distance import Indel, Levenshtein

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CJK_CHARACTER = re.compile(f"([{CJK}])")
_TAGS = (
    "a b blockquote br caption center code col colgroup del details div em figcaption figure font h[1-6] hr i img input ins li mark ol p pre s "
    "small span strong sub summary sup table tbody td tfoot th thead tr u ul"
)
_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), kept)
    for pattern, kept, flags in (
        (r"<!--.*?-->", " ", re.DOTALL),
        (r"^\s*(?:```|~~~).*$", "", re.MULTILINE),  # fences: what stands between them is text
        (r"!\[([^\]]*)\]\([^)]*\)", r"\1", 0),
        (r"\[([^\]]*)\]\([^)]*\)", r"\1", 0),
        (r"^\s*\|?(?:\s*:?-{3,}:?\s*\|)+\s*(?::?-{3,}:?)?\s*$", "", re.MULTILINE),  # the rule under a table's head
        (r"^\s*([-*_])(?:\s*\1){2,}\s*$", "", re.MULTILINE),
        (r"^\s{0,3}(?:#{1,6}\s+|>\s?|[*+-]\s+)", "", re.MULTILINE),
    )
)
_PIPE_ROW = re.compile(r"^\s*\|(.*?)\|?\s*$", re.MULTILINE)
_INLINE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"</?(?:{_TAGS.replace(' ', '|')})\b[^<>]*>", re.IGNORECASE), " "),
    (re.compile(r"(\*\*|__|``?)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|<>$~-])"), r"\1"),
)
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&quot;": '"', "&amp;": "&"}  # the last one last: `&amp;lt;` is `&lt;`


class ScanScore(msgspec.Struct, frozen=True):
    """A page image against its truth; the counts from which micro averages are made, and the page's own rates.

    `cjk`: at least a tenth of the truth is CJK. Words are those of WER; `bag_*` the words without punctuation at their ends, order apart.
    """

    cjk: bool
    characters: int
    character_edits: int
    cer: float
    words: int
    word_edits: int
    wer: float
    bag_truth: int
    bag_read: int
    bag_hits: int
    recall: float
    precision: float
    f1: float


class DigitalScore(msgspec.Struct, frozen=True):
    """A born-digital document against its truth: bag of words, and the order of the words that both sides share (1: the same)."""

    words: int
    words_read: int
    recall: float
    precision: float
    f1: float
    order: float
    similarity: float


def plain_text(markdown: str) -> str:
    """The words of a Markdown text: marks and HTML tags go, what they enclose stays."""
    for pattern, kept in _MARKUP:
        markdown = pattern.sub(kept, markdown)
    markdown = _PIPE_ROW.sub(lambda row: row[1].replace("|", " "), markdown)
    for pattern, kept in _INLINE:
        markdown = pattern.sub(kept, markdown)
    for entity, character in _ENTITIES.items():
        markdown = markdown.replace(entity, character)
    return markdown


def normalised(text: str, *, fold: bool = False) -> str:
    """NFC, without control characters, single spaces; case folded on request."""
    text = unicodedata.normalize("NFC", text)
    kept = (c for c in text if c.isspace() or unicodedata.category(c) not in {"Cc", "Cf"})
    text = " ".join("".join(kept).split())
    return unicodedata.normalize("NFC", text.casefold()) if fold else text


def split_words(text: str) -> list[str]:
    """What stands between spaces; each CJK character is a word of its own."""
    return _CJK_CHARACTER.sub(r" \1 ", text).split()


def score_scan(truth: str, read: str, *, fold: bool = False) -> ScanScore:
    """A page's text (Markdown already taken off) against its truth; `fold` compares without case.

    An empty truth scores 0 errors for an empty text and 1 otherwise.
    """
    truth, read = normalised(truth, fold=fold), normalised(read, fold=fold)
    expected, found = split_words(truth), split_words(read)
    bag, bag_read = _bag(expected, start="LMN", end="LMN"), _bag(found, start="LMN", end="LMN")
    character_edits, word_edits = Levenshtein.distance(truth, read), Levenshtein.distance(expected, found)
    hits = (bag & bag_read).total()
    recall, precision, f1 = bag_rates(bag.total(), bag_read.total(), hits)
    return ScanScore(
        cjk=10 * len(_CJK_CHARACTER.findall(truth)) > len(truth),
        characters=len(truth),
        character_edits=character_edits,
        cer=ratio(character_edits, len(truth), float(bool(read))),
        words=len(expected),
        word_edits=word_edits,
        wer=ratio(word_edits, len(expected), float(bool(found))),
        bag_truth=bag.total(),
        bag_read=bag_read.total(),
        bag_hits=hits,
        recall=recall,
        precision=precision,
        f1=f1,
    )


def score_digital(truth: str, read: str) -> DigitalScore:
    """A document's text against its truth, both with their Markdown taken off. Ligatures and presentation forms count as their letters."""
    truth, read = (normalised(unicodedata.normalize("NFKC", text)) for text in (truth, read))
    expected, found = (_bare_words(text.casefold()) for text in (truth, read))
    common = Counter(expected) & Counter(found)
    recall, precision, f1 = bag_rates(len(expected), len(found), common.total())
    shared = _only(found, common), _only(expected, common)
    return DigitalScore(
        words=len(expected),
        words_read=len(found),
        recall=recall,
        precision=precision,
        f1=f1,
        order=Indel.normalized_similarity(*shared) if shared[0] else 0.0,
        similarity=Levenshtein.normalized_similarity(read, truth),
    )


def bag_rates(truth: int, read: int, hits: int) -> tuple[float, float, float]:
    """Recall, precision and F1 of two bags of words that have `hits` in common."""
    recall = ratio(hits, truth, 1.0)
    precision = ratio(hits, read, float(not truth))
    return recall, precision, ratio(2 * recall * precision, recall + precision)


def ratio(part: float, whole: float, empty: float = 0.0) -> float:
    """A share; `empty` where there is nothing to have a share of."""
    return part / whole if whole else empty


def _bag(words: Sequence[str], *, start: str, end: str) -> Counter[str]:
    return Counter(bare for word in words if (bare := _bare(word, start, end)))


def _bare_words(text: str) -> list[str]:
    return [bare for word in split_words(text) if (bare := _bare(word, "LNS", "LNSM"))]


def _bare(word: str, start: str, end: str) -> str:
    """A word without what is not of the wanted Unicode classes at its start and end."""
    first, last = 0, len(word)
    while first < last and unicodedata.category(word[first])[0] not in start:
        first += 1
    while last > first and unicodedata.category(word[last - 1])[0] not in end:
        last -= 1
    return word[first:last]


def _only(words: Sequence[str], wanted: Counter[str]) -> list[str]:
    """The words in their order, each as often as wanted, its first occurrences kept."""
    left, kept = wanted.copy(), []
    for word in words:
        if left[word] > 0:
            left[word] -= 1
            kept.append(word)
    return kept
