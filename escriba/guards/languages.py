"""Tells in which script and language a text is written, by its letters and its commonest words: enough to notice a page that was translated."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

_COMMON = {
    "por": "de a o que e do da em um para com nao uma os no se na por mais as dos como mas ao das seu sua ou pelo pela nos sao foi ser tem ate isso esta",
    "eng": "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which you were her she all their",
    "spa": "de la que el en y a los se del las un por con no una su para es al lo como mas o pero sus le ha me si sin sobre este ya entre cuando esta son muy",
    "fra": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec son aux d l s n qu ou mais nous vous je leur",
    "deu": "der die und in den von zu das mit sich des auf fur ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am",
    "ita": "di e il la che in a per un del non le si una con i da sono al dei come della lo piu nel alla ma gli anche o se delle era suo questo quando",
    "nld": "de van het een en in is dat op te zijn met voor niet aan er die om ook als dan maar bij of uit nog naar heeft hij worden werd door wordt ze ik",
}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_ENOUGH = 25  # words below which nothing is said of their language
_SHARE, _AHEAD = 0.18, 1.35  # of all words are among the language's commonest; so many times as many as among the next one's
_EAST_ASIAN = {"HIRAGANA", "KATAKANA", "CJK", "HANGUL"}
_LETTERS, _MOST = 20, 0.6  # letters below which nothing is said of their script; share that one script must have


def language(words: Sequence[str]) -> str:
    """The ISO 639-2 code of the language that most of the words (lower case, no accents) speak for, "" where that is not clear."""
    if len(words) < _ENOUGH:
        return ""
    (first, most), (_, next_most) = Counter({name: sum(word in known for word in words) for name, known in _WORDS.items()}).most_common(2)
    return first if most >= _SHARE * len(words) and most >= _AHEAD * next_most else ""


def script(text: str) -> str:
    """The script of most of the letters, by its Unicode name (Chinese, Japanese and Korean as one), "" where that is not clear."""
    letters = [c for c in text if c.isalpha()]
    if len(letters) < _LETTERS:
        return ""
    counts = Counter(_script_of(c) for c in Counter(letters).elements())
    name, count = counts.most_common(1)[0]
    return name if count >= _MOST * len(letters) else ""


def _script_of(letter: str) -> str:
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
    return "EAST ASIAN" if name in _EAST_ASIAN else name
