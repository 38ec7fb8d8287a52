"""How far an answer agrees with what CPU OCR was sure of: its numbers first, then its words, their amount, and whether a stretch is missing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from escriba.document import Block, Word

SURE, SURE_AT_MOST = 0.985, 0.92
"""Confidence from which a word of RapidOCR is one it is sure of, and one of Tesseract, which never says more than `_CEILING`."""
SURE_NUMBER, SURE_NUMBER_AT_MOST = 0.999, 0.94
"""The same for a number that alone may refuse an answer: a wrong letter shows in its word, a wrong digit does not."""
_CEILING = 0.975
SURE_OF_A_LINE = 0.93
"""The same for Chinese, Japanese and Korean, where a word is a whole line and its confidence a mean over it."""
_SURE_SHARE = 0.45  # of a region's characters that must be sure, or none is: on handwriting a few words come out certain and wrong
_LEAST = 30  # characters of sure words below which nothing is said of agreement
_SHORT, _LONG = 3, 10  # letters: shorter words say nothing, longer ones no more than this
_NUMBER_WEIGHT = 2
_UNSURE_LEAST = 150  # characters of words, sure or not, below which nothing is said of resemblance
_GRAM = 5
_NEIGHBOURS = 3
_RIVALS = 40  # places beside the same token that are compared: a column of equal cells must not cost their square
_STRETCH_FOUND = 0.3  # share of a missing stretch's words that may stand elsewhere in the answer
_OTHER_DIGITS = 3  # by which two readings of one number differ at most; beyond it they are two numbers

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad\u00ac\u2010\u2e17]\s*\n\s*(?=[^\W\d_])")
_TOKEN = re.compile(rf"\d+(?:[.,:/'\u2019\u2013-]\d+)*|[{_CJK}]{{1,3}}|[^\W\d_{_CJK}]+")
_LATEX = re.compile(r"\\(?:[a-zA-Z]+|[,;!: ])")
_LETTERS = re.compile(r"[^\W\d_]+")
_ALIKE = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "\u0131": "i", "ł": "l", "ð": "d", "þ": "th", "đ": "d"})


def plain(text: str) -> str:
    """Without case, accents, ligatures and old forms of letters (a long s is an s): the same words whoever wrote them down."""
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", _LATEX.sub(" ", text)).casefold())
    return "".join(c for c in bare if not unicodedata.combining(c)).translate(_ALIKE)


def tokens(text: str) -> list[str]:
    """Words, and numbers as their digits alone, of a plain text; what a hyphen cuts at a line's end is one word."""
    return [token for token, _ in _shaped(text)]


def _shaped(text: str) -> list[tuple[str, str]]:
    """Each token, and of a number its shape: a 0 for each digit, a point for each mark between them."""
    found = _TOKEN.findall(_HYPHEN.sub("", text))
    return [(_digits(t), "".join("0" if c.isdigit() else "." for c in t)) if t[0].isdigit() else (t, "") for t in found]


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


@dataclass(frozen=True)
class Seen:
    """A token that CPU OCR read, how sure it was of its word (0 to 1), and of a number where its digits are parted."""

    text: str
    confidence: float
    shape: str = ""

    @property
    def weight(self) -> int:
        if is_cjk(self.text):
            return 2 * len(self.text)
        if self.text[0].isdigit():
            return _NUMBER_WEIGHT * min(len(self.text), _LONG) if len(self.text) > 1 else 0
        return min(len(self.text), _LONG) if len(self.text) >= _SHORT else 0


class Sight:
    """What CPU OCR saw of a region, in its order."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        words = [word for block in blocks for word in _joined(block)]
        self.text = "\n".join(block.text for block in blocks)
        self.seen = [Seen(token, _confidence(word), shape) for word in words for token, shape in _shaped(plain(word.text))]
        highest = max((seen.confidence for seen in self.seen), default=0.0)
        self.bar, self.number_bar = (SURE, SURE_NUMBER) if highest > _CEILING else (SURE_AT_MOST, SURE_NUMBER_AT_MOST)
        self.characters = sum(len(seen.text) for seen in self.seen)
        certain = sum(len(seen.text) for seen in self.seen if self._certain(seen))
        self.trusted = certain >= _SURE_SHARE * self.characters

    def _certain(self, seen: Seen) -> bool:
        return seen.confidence >= (min(self.bar, SURE_OF_A_LINE) if is_cjk(seen.text) else self.bar)

    @cached_property
    def sure(self) -> list[tuple[int, Seen]]:
        """Places and tokens that it was sure of; none where it was sure of so little that it may be chance."""
        sure = [(at, seen) for at, seen in enumerate(self.seen) if self._certain(seen) and seen.weight]
        return sure if self.trusted and sum(seen.weight for _, seen in sure) >= _LEAST else []

    @cached_property
    def sure_numbers(self) -> list[tuple[int, Seen]]:
        """Places and numbers of two digits and more that it was so sure of that one of them suffices to refuse an answer."""
        return [(at, seen) for at, seen in self.sure if seen.text[0].isdigit() and seen.confidence >= self.number_bar]


class Text:
    """An answer's text, made ready to be looked into."""

    def __init__(self, text: str) -> None:
        bare = plain(text)
        shaped = _shaped(bare)
        self.tokens, self.shapes = [token for token, _ in shaped], [shape for _, shape in shaped]
        self.characters = sum(map(len, self.tokens))
        self.counts = Counter(self.tokens)
        self.digits = digit_runs(bare)
        stream = "".join(self.tokens)
        lengths = (1, 2, 3, _GRAM) if any(map(is_cjk, self.tokens)) else (_GRAM,)
        self._grams = {stream[at : at + length] for length in lengths for at in range(len(stream) - length + 1)}

    @cached_property
    def _near(self) -> set[str]:
        return {variant for word in self.counts if len(word) >= _GRAM for variant in _shortened(word)}

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Where each number stands."""
        places: dict[str, list[int]] = {}
        for at, token in enumerate(self.tokens):
            if token[0].isdigit():
                places.setdefault(token, []).append(at)
        return places

    def holds(self, word: str) -> bool:
        """Whether a word of letters stands there, perhaps parted or joined, or one that differs by a letter."""
        if word in self.counts or (is_cjk(word) and word in self._grams):
            return True
        if len(word) < _GRAM:
            return False
        return all(word[at : at + _GRAM] in self._grams for at in range(len(word) - _GRAM + 1)) or any(
            v in self._near for v in _shortened(word)
        )

    def has(self, token: str) -> bool:
        """Whether a word or a number stands there."""
        return self.holds_number(token) if token[0].isdigit() else self.holds(token)

    def holds_number(self, digits: str) -> bool:
        """Whether a number stands there, however its digits are grouped."""
        return digits in self.counts or (len(digits) > _SHORT and digits in self.digits)


def is_cjk(token: str) -> bool:
    """Whether a token is up to three Chinese, Japanese or Korean characters, which no spaces part into words."""
    return _CJK_CHARACTER.match(token) is not None


def digit_runs(bare: str) -> str:
    """All digits of a text in their order, parted where letters stand between them."""
    return "|".join(run for part in _LETTERS.split(bare) if (run := _digits(part)))


def _shortened(word: str) -> Iterator[str]:
    """The word, and each word that one of its letters left out makes: two that share one differ by a letter."""
    yield word
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]


def _confidence(word: Word) -> float:
    return 1.0 if word.confidence is None else word.confidence


def _joined(block: Block) -> Iterator[Word]:
    """The block's words, those cut at a line's end made whole with the lesser confidence."""
    held: Word | None = None
    for line in block.lines:
        for place, word in enumerate(line.words):
            whole = word
            if held is not None:
                sure = min((c for c in (held.confidence, word.confidence) if c is not None), default=None)
                whole, held = Word(held.text[:-1] + word.text, word.box, sure), None
            if place == len(line.words) - 1 and len(whole.text) > 1 and whole.text[-1] in "-\u00ad\u00ac\u2010\u2e17":
                held = whole
            else:
                yield whole
    if held is not None:
        yield held


def agreement(sight: Sight, text: Text) -> float | None:
    """The share (0 to 1) of what CPU OCR was sure of that the answer has too; None where it was sure of nothing.

    Where the words agree less than all do together, as in a translation that keeps every figure, their share stands.
    """
    found = _found(sight, text)
    everything = _share(found)
    letters = [(seen, there) for seen, there in found if not seen.text[0].isdigit()]
    return min(everything, _share(letters)) if sum(seen.weight for seen, _ in letters) >= _LEAST else everything if found else None


def _share(found: Sequence[tuple[Seen, bool]]) -> float:
    whole = sum(seen.weight for seen, _ in found)
    return sum(seen.weight for seen, there in found if there) / whole if whole else 1.0


def _found(sight: Sight, text: Text) -> list[tuple[Seen, bool]]:
    """The sure tokens in their order, and whether the answer has them: as often as CPU OCR saw them, where they stand there unchanged."""
    left = text.counts.copy()
    found = []
    for _, seen in sight.sure:
        left[seen.text] -= 1
        there = left[seen.text] >= 0 if seen.text in text.counts else text.has(seen.text)
        found.append((seen, there))
    return found


def resemblance(sight: Sight, text: Text) -> float:
    """The share (0 to 1) of all that CPU OCR read, sure or not, that the answer has; 1 where it read too little to tell."""
    longer = [seen for seen in sight.seen if len(seen.text) > _SHORT or is_cjk(seen.text)]
    whole = sum(seen.weight for seen in longer)
    return sum(seen.weight for seen in longer if text.has(seen.text)) / whole if whole >= _UNSURE_LEAST else 1.0


def missing_stretch(sight: Sight, text: Text) -> tuple[int, float]:
    """The longest stretch of sure words that the answer has next to nothing of: characters, and their share (0 to 1) of all sure ones."""
    found = _found(sight, text)
    # The largest sum of a run in which what is missing counts for, and what is found against.
    most = run = 0.0
    for seen, there in found:
        run = max(0.0, run + (-seen.weight * (1 - _STRETCH_FOUND) / _STRETCH_FOUND if there else seen.weight))
        most = max(most, run)
    return round(most), most / max(1, sum(seen.weight for seen, _ in found))


def contradictions(sight: Sight, text: Text) -> int:
    """How many numbers of the answer stand where CPU OCR was sure of another one: as many digits, a few of them others.

    The place is known by the tokens around it, so that the order of columns and blocks does not matter.
    """
    words = [seen.text for seen in sight.seen]
    read = Counter(words)
    # Numbers that the answer has not as often as CPU OCR, by their length and each token beside them.
    missing: dict[tuple[int, _Beside], list[tuple[Seen, frozenset[_Beside]]]] = {}
    for at, seen in sight.sure_numbers:
        if text.counts[seen.text] < read[seen.text]:
            around = _around(words, at)
            for beside in around:
                missing.setdefault((len(seen.text), beside), []).append((seen, around))
    joined = {left + right for left, right in pairwise(words) if (left + right).isdigit() and len(left + right) > _SHORT}
    found = 0
    for at, token in enumerate(text.tokens):
        if len(token) == 1 or not token[0].isdigit() or token in joined or text.counts[token] <= read[token]:
            continue
        # CPU OCR read the same elsewhere: a sum, a date or a code that a page says twice and that was misread once.
        if len(token) > _SHORT and read[token]:
            continue
        around = _around(text.tokens, at)
        rivals = {rival for beside in around for rival in missing.get((len(token), beside), ())[:_RIVALS]}
        found += any(
            _other_reading(seen, token, text.shapes[at])
            and (alike := len(around & there)) >= _needed(token, alike_parted=seen.shape == text.shapes[at])
            and all(len(_around(text.tokens, same) & there) < alike for same in text.places.get(seen.text, ())[:_RIVALS])
            for seen, there in rivals
        )
    return found


_Beside = tuple[bool, str]


def _needed(number: str, *, alike_parted: bool) -> int:
    """How many tokens must stand beside both: a short number may turn up anywhere, and one parted otherwise may be another one."""
    return (1 if len(number) > _SHORT else 2) + (not alike_parted)


def _other_reading(seen: Seen, number: str, shape: str) -> bool:
    """Whether a number as long as the one seen may be another reading of it: a few digits differ, or they change places (as in dates).

    It is parted alike, unless CPU OCR saw no marks between the digits, which are small.
    """
    if seen.text == number or (seen.shape != shape and "." in seen.shape):
        return False
    return sum(a != b for a, b in zip(seen.text, number, strict=True)) <= _OTHER_DIGITS or sorted(seen.text) == sorted(number)


def _around(words: Sequence[str], at: int) -> frozenset[_Beside]:
    """The tokens before a place and those after it; the ends of the text are tokens too."""
    before = ["", *words[:at]] if at < _NEIGHBOURS else words[at - _NEIGHBOURS : at]
    after = [*words[at + 1 : at + 1 + _NEIGHBOURS], ""]
    return frozenset((False, token) for token in before) | frozenset((True, token) for token in after[:_NEIGHBOURS])
