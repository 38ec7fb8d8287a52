"""Judges a language model's correction of what CPU OCR read: it may mend words in doubt a little, and change nothing else at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from escriba.document import Line, Word, is_sure
from escriba.guards.grounding import plain
from escriba.vision import Answer, Verdict

_SHORT, _SHARE, _LEAST = 3, 0.4, 2
"""Letters up to which one edit is all that a word may take; of longer ones this share of their letters, two in any case."""
_MOST = 0.3  # share of the words that may change
_APART = 4  # words by which a line and its correction may be out of step
_LONGER, _MORE = 2, 500  # so much longer than what was asked, an answer is not looked at
_NUMBERED = re.compile(r"\s*(\d{1,5})\s*[:.)|]\s?(.*)")
_ADDRESS = re.compile(r"[@/\\_#&=<>]|\w\.\w", re.ASCII)
_WRITTEN_OUT = """
    janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro enero febrero marzo mayo junio julio septiembre
    octubre noviembre diciembre january february march april may june july august september october november december janvier fevrier mars avril
    mai juin juillet aout septembre octobre decembre januar februar marz juni juli oktober dezember
    segunda terca quarta quinta sexta sabado domingo monday tuesday wednesday thursday friday saturday sunday
    dois duas tres quatro cinco seis sete oito nove dez onze doze treze catorze quatorze quinze dezasseis dezesseis dezassete dezessete
    dezoito dezanove dezenove vinte trinta quarenta cinquenta sessenta setenta oitenta noventa cem cento duzentos duzentas trezentos trezentas
    quatrocentos quatrocentas quinhentos quinhentas seiscentos seiscentas setecentos setecentas oitocentos oitocentas novecentos novecentas mil
    milhao milhoes primeiro segundo terceiro quarto quinto sexto setimo oitavo nono decimo
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty
    forty fifty sixty seventy eighty ninety hundred thousand million first second third fourth fifth sixth seventh eighth ninth tenth
    cuatro siete ocho nueve diez veinte treinta cuarenta cincuenta sesenta ochenta ciento cientos"""
"""Months, days and numbers in Portuguese and Spanish, English, and months in French and German: a date or an amount, without accents."""
_COUNTED = frozenset(_WRITTEN_OUT.split())


class Change(NamedTuple):
    """Words of a line, `taken` from place `first` on (both from 0), that become `texts`: one word, or two for one that was read together."""

    line: int
    first: int
    taken: int
    texts: tuple[str, ...]


def protected(token: str) -> bool:
    """Whether a token may not change by a sign: what has a digit or no letter, codes in capitals, addresses, amounts of money."""
    letters = [c for c in token if c.isalpha()]
    return (
        not letters
        or any(c.isnumeric() or unicodedata.category(c) == "Sc" for c in token)
        or (len(letters) > 1 and all(c.isupper() for c in letters))
        or _ADDRESS.search(token) is not None
    )


def may_change(word: Word, engine: str) -> bool:
    """Whether a word may be corrected: its engine is in doubt of it, and it is of a kind that letters alone can mend."""
    in_doubt = word.confidence is not None and not is_sure(word, engine)
    return in_doubt and len(word.text) > 1 and not any(map(str.isspace, word.text)) and not _is_kept(word.text)


def _is_kept(token: str) -> bool:
    return protected(token) or bool(_counted(token))


def _counted(token: str) -> str:
    """The name of a month or a day, or a number in words, without its accents; empty for all else."""
    bare = "".join(c for c in plain(token) if c.isalpha())
    return bare if bare in _COUNTED else ""


def corrected(lines: Sequence[Line], answer: Answer, engine: str) -> tuple[Change, ...] | Verdict:
    """The changes that an answer makes to lines that `engine` read, or the verdict that refuses them all; pure.

    The answer is to hold the same lines, each with its number from 1. One change too many or too great refuses the whole: a model that does
    other than it was told is believed in nothing.
    """
    if answer.finish != "stop":
        return _UNFINISHED
    told = _lines(answer.text, sum(len(line.text) + 8 for line in lines))
    if told is None or len(told) != len(lines):
        return _OTHER_LINES
    changes: list[Change] = []
    for number, (line, text) in enumerate(zip(lines, told, strict=True)):
        found = _of_line(number, line.words, text.split(), engine)
        if isinstance(found, Verdict):
            return found
        changes += found
    words = sum(len(line.words) for line in lines)
    return _TOO_MANY if sum(change.taken for change in changes) > max(1.0, _MOST * words) else tuple(changes)


def _lines(text: str, characters: int) -> list[str] | None:
    """What follows the numbers, None where these are not 1, 2, 3 and so on."""
    if len(text) > _LONGER * characters + _MORE:
        return None
    # Many models put whatever they are asked for between fences.
    rows = [row for row in text.split("\n") if row.strip() and not row.strip().startswith("```")]
    found = [_NUMBERED.fullmatch(row.rstrip("\r")) for row in rows]
    if not all(match is not None and int(match[1]) == n for n, match in enumerate(found, 1)):
        return None
    return [unicodedata.normalize("NFC", match[2]) for match in found if match is not None]


def _of_line(number: int, words: Sequence[Word], told: Sequence[str], engine: str) -> list[Change] | Verdict:
    before = [unicodedata.normalize("NFC", word.text) for word in words]
    if " ".join(before).split() == list(told):
        return []
    if [token for token in before if protected(token)] != [token for token in told if protected(token)]:
        return _PROTECTED
    steps = _steps(before, told)
    if steps is None:
        return _ADDED
    changes = []
    for i, taken, j, made in steps:
        old, new = before[i : i + taken], tuple(told[j : j + made])
        if old == list(new):
            continue
        refused = _refused(words[i : i + taken], old, new, engine)
        if refused is not None:
            return refused
        changes.append(Change(number, i, taken, new))
    return changes


def _refused(words: Sequence[Word], old: Sequence[str], new: Sequence[str], engine: str) -> Verdict | None:
    if any(map(_is_kept, (*old, *new))):
        return _PROTECTED
    if not all(may_change(word, engine) for word in words):
        return _SURE
    was, becomes = "".join(old), "".join(new)
    return _TOO_FAR if not becomes.isprintable() or _edits(was, becomes) > _allowed(was) else None


def _allowed(word: str) -> int:
    return 1 if len(word) <= _SHORT else max(_LEAST, int(_SHARE * len(word)))


def _steps(before: Sequence[str], told: Sequence[str]) -> list[tuple[int, int, int, int]] | None:
    """How the words of a line become those that were told, with the fewest edits: place and count of words in each.

    One becomes one; two become one, or one two, only with the same letters. None where words must have been added or left out.
    """
    best: dict[tuple[int, int], tuple[int, tuple[int, int]]] = {(0, 0): (0, (0, 0))}
    for i in range(len(before) + 1):
        for j in range(max(0, i - _APART), min(len(told), i + _APART) + 1):
            ways = [
                (best[i - a, j - b][0] + _edits("".join(before[i - a : i]), "".join(told[j - b : j])), (a, b))
                for a, b in ((1, 1), (2, 1), (1, 2))
                if (i - a, j - b) in best and (a == b or "".join(before[i - a : i]) == "".join(told[j - b : j]))
            ]
            if ways:
                best[i, j] = min(ways)
    place = len(before), len(told)
    if place not in best:
        return None
    steps = []
    while place != (0, 0):
        a, b = best[place][1]
        place = place[0] - a, place[1] - b
        steps.append((place[0], a, place[1], b))
    return steps[::-1]


def _edits(one: str, other: str) -> int:
    """Letters put in, left out or exchanged (Levenshtein); of very different lengths, the difference of these."""
    if one == other or abs(len(one) - len(other)) > _allowed(one):
        return abs(len(one) - len(other))
    row = list(range(len(other) + 1))
    for i, mine in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, theirs in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (mine != theirs))
    return row[-1]


_UNFINISHED = Verdict("unfinished", "the correction broke off before its end")
_OTHER_LINES = Verdict("other_lines", "the correction does not have the lines that were asked about")
_PROTECTED = Verdict("protected", "the correction changes a number, a date, an amount, a code or an address")
_ADDED = Verdict("added", "the correction adds words or leaves some out")
_SURE = Verdict("sure", "the correction changes a word that CPU OCR was sure of")
_TOO_FAR = Verdict("too_far", "the correction puts another word in the place of one that was read")
_TOO_MANY = Verdict("too_many", "the correction changes too many words")
