"""Whether a vision model's answer is believed: one guard after the other, each with a stable name and a sentence that quotes nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from escriba.document import Block
from escriba.guards import grounding, languages, repetition, wording
from escriba.guards.grounding import Sight, Text
from escriba.policy import Policy
from escriba.vision import Answer, Parsed, Region, Said, Verdict

_CHARACTERS_A_TOKEN = 16  # more than any model's tokens hold on average: beyond it the count of tokens is not to be believed
_TAG = re.compile(r"<[^<>]*>")
_CELL = re.compile(r"<t[dh]\b", re.IGNORECASE)
_WHOLE_TABLE = re.compile(r"\s*<table\b.*</table>\s*", re.IGNORECASE | re.DOTALL)
_SEEN = 0.5  # confidence from which a word of CPU OCR shows that there is something to read
_A4 = 595.0 * 842.0  # square points
_DENSEST = 90_000
"""Letters and digits that an A4 page all of whose pixels were ink would hold; the densest print has 1,500 a hundredth of it inked."""
_MORE, _SOME = 1.5, 150  # times as many characters as CPU OCR read, and so many more, need ink that explains them
_SHORTER, _ENOUGH = 0.6, 200  # less than this share of the characters that CPU OCR read, well or badly, where it read so many
_STRETCH, _LESSER, _PART = 60, 25, 0.1
"""Characters that CPU OCR was sure of, in a row and all but absent from the answer; fewer where they are such a part of all."""
_LIKENESS = 0.03  # share of an unsure reading that a true answer has at least, handwriting included; another page's text has less


@dataclass(frozen=True)
class _Case:
    answer: Answer
    parsed: Parsed | None
    sight: Sight
    ink: float
    region: Region
    prompt: str
    policy: Policy

    @cached_property
    def said(self) -> str:
        """The words of the answer, those in tables too, without markup."""
        return "\n".join(_words(piece) for piece in self.parsed.pieces) if self.parsed is not None else ""

    @cached_property
    def text(self) -> Text:
        return Text(self.said)

    @property
    def blank(self) -> bool:
        return self.ink <= self.policy.ocr.max_blank_ink and not any(seen.confidence >= _SEEN for seen in self.sight.seen)

    @cached_property
    def agreement(self) -> float | None:
        return grounding.agreement(self.sight, self.text)


def judge(
    answer: Answer, parsed: Parsed | None, cpu: Sequence[Block], *, ink: float, region: Region, prompt: str, policy: Policy
) -> Verdict:
    """Believe an answer or refuse it, by what CPU OCR read of the region (`cpu`) and the share of its pixels that are inked (`ink`, 0 to 1).

    `parsed` is None where the model's parser could make nothing of the answer; `prompt` is what the model was asked. Pure; time grows with the
    lengths of answer and reading. The first guard that refuses gives the verdict.
    """
    case = _Case(answer, parsed, Sight(cpu), ink, region, prompt, policy)
    for name, reason, refuses in _GUARDS:
        if refuses(case):
            return Verdict(name, reason)
    return Verdict(grounded=1.0 if case.blank else case.agreement)


def _unfinished(case: _Case) -> bool:
    return case.answer.finish != "stop"


def _over_limit(case: _Case) -> bool:
    most = case.policy.vision.max_tokens
    return case.answer.answer_tokens > most or len(case.answer.text) > most * _CHARACTERS_A_TOKEN


def _repeating(case: _Case) -> bool:
    return repetition.loops(case.answer.text) or repetition.loops(case.said)


def _unparsable(case: _Case) -> bool:
    return case.parsed is None or any(piece.kind == "table" and piece.html and not _is_table(piece.html) for piece in case.parsed.pieces)


def _not_blank(case: _Case) -> bool:
    return case.blank and bool(case.text.tokens)


def _empty(case: _Case) -> bool:
    return not case.blank and not case.text.tokens


def _leaked(case: _Case) -> bool:
    return wording.leaked(case.said, case.prompt, case.sight.text)


def _talking(case: _Case) -> bool:
    return wording.talks(case.said, case.sight.text)


def _foreign(case: _Case) -> bool:
    """Another script or language than CPU OCR's words; where these are too few or too unclear, nothing is said."""
    known = [seen.text for _, seen in case.sight.sure]
    scripts = languages.script("".join(known)), languages.script(case.said)
    if all(scripts) and scripts[0] != scripts[1]:
        return True
    read = [seen.text for seen in case.sight.seen if seen.confidence >= _SEEN] if case.sight.trusted else []
    spoken = languages.language(read), languages.language(case.text.tokens)
    return all(spoken) and spoken[0] != spoken[1]


def _contradicting(case: _Case) -> bool:
    return bool(grounding.contradictions(case.sight, case.text))


def _truncated(case: _Case) -> bool:
    if case.sight.characters >= _ENOUGH and case.text.characters < _SHORTER * case.sight.characters:
        return True
    characters, share = grounding.missing_stretch(case.sight, case.text)
    return characters > _STRETCH or (characters > _LESSER and share > _PART)


def _straying(case: _Case) -> bool:
    if case.agreement is not None:
        return case.agreement < case.policy.vision.min_grounding
    return grounding.resemblance(case.sight, case.text) < _LIKENESS


def _invented(case: _Case) -> bool:
    if case.text.characters <= _MORE * case.sight.characters + _SOME:
        return False
    box = case.region.box
    area = box.width * box.height if box is not None else _A4
    return case.text.characters > case.ink * _DENSEST * max(0.0, area) / _A4


_GUARDS: tuple[tuple[str, str, Callable[[_Case], bool]], ...] = (
    ("unfinished", "the answer broke off before its end", _unfinished),
    ("over_limit", "the answer is longer than the policy's vision.max_tokens allows", _over_limit),
    ("repeating", "the answer says the same over and over", _repeating),
    ("unparsable", "the answer is not in the form that the model was asked for", _unparsable),
    ("not_blank", "the answer has text for a region that is blank", _not_blank),
    ("empty", "the answer has no text for a region that has some", _empty),
    ("prompt_leaked", "the answer repeats what the model was told instead of what stands on the page", _leaked),
    ("model_talk", "the model speaks for itself, or does as the document bids, instead of reading", _talking),
    ("wrong_language", "the answer is in another language or script than the page", _foreign),
    ("contradicted", "the answer has other numbers than CPU OCR was sure of", _contradicting),
    ("truncated", "a part of the text that CPU OCR was sure of is missing", _truncated),
    ("strayed", "the answer agrees with too little of what CPU OCR read", _straying),
    ("invented", "the answer has more text than the region's ink can be", _invented),
)
NAMES = tuple(name for name, _, _ in _GUARDS)


def _words(piece: Said) -> str:
    if piece.kind == "table" and piece.html:
        return html.unescape(_TAG.sub(" ", piece.html.replace("</tr>", "</tr>\n")))
    return piece.text


def _is_table(markup: str) -> bool:
    return _WHOLE_TABLE.fullmatch(markup) is not None and _CELL.search(markup) is not None
