"""Notices that a model has lost itself in a loop, while it still writes: a looping answer costs its whole token limit and is worth nothing."""

from __future__ import annotations

import re
from collections import Counter, deque

_TAG = r"</?[a-zA-Z][^<>]{0,60}>"
_TOKEN = re.compile(rf"{_TAG}|[^\W\d_]{{1,16}}|\d{{1,16}}|[^\w\s]|_|\n")
_LONGEST_TAG = 64
_PIECE = 16  # characters at which a run of letters or digits is cut, so that a loop without spaces has tokens too
_GRAM = 4  # tokens that must come again for a period to be suspected
_SUSPECTS = 8  # periods followed at a time
_CONTENT = 2_000
"""Letters and digits that a period may fill: a sheet of 24 equal labels passes, as does a column of 300 equal short cells."""
_MARKUP = 0.5  # what a character of tags and marks counts for beside them
_FEWEST, _MOST = 6, 400  # repeats: of a long period at least, of a short one at most
_EMPTY = 6_000  # characters of empty cells or zeros: a blank form of 30 rows and 15 columns passes
_RUN, _LEADERS = 64, 500  # the same letter or digit, the same mark of punctuation on one line (dotted leaders, rules)
_COUNTING = 100  # rows that differ in nothing but a number that counts up
_WINDOW, _WORDS, _VARIETY = 500, 5, 0.1
"""Words looked back on, words in a run of them, and the share of different runs below which they say the same over and over."""


class Watch:
    """Reads an answer as it comes. In any pieces, the same text gives the same result; each piece costs its length, whatever came before."""

    def __init__(self) -> None:
        self.looping = False
        self._held = ""  # what may yet become another token
        self._tokens: list[str] = []
        self._content, self._length = [0], [0]  # before each token: letters and digits other than zeros, and characters, so far
        self._seen: dict[tuple[str, ...], int] = {}
        self._suspects: dict[int, int] = {}  # a period in tokens, and where it began
        self._run = 0
        self._row: list[str] = []
        self._last_row: list[str] = []
        self._counted = 0
        self._recent: deque[str] = deque(maxlen=_WORDS)
        self._runs: deque[tuple[str, ...]] = deque()
        self._different: Counter[tuple[str, ...]] = Counter()

    def feed(self, piece: str) -> bool:
        """Take the next piece; True as soon as the text so far loops, and from then on."""
        if self.looping:
            return True
        text = self._held + piece
        at = 0
        ready = _ready(text)
        for token in _TOKEN.finditer(text):
            if token.end() >= ready:
                break
            at = token.end()
            if self._take(token[0]):
                self.looping = True
                return True
        self._held = text[at:].lstrip(" \t") if len(text) - at > _LONGEST_TAG else text[at:]
        return False

    def end(self) -> bool:
        """Whether the text loops, now that nothing follows."""
        self.looping = self.looping or any(self._take(token[0]) for token in _TOKEN.finditer(self._held))
        self._held = ""
        return self.looping

    def _take(self, token: str) -> bool:
        tagged = len(token) > 1 and token[0] == "<"
        self._tokens.append(token)
        worth = 0 if tagged or not token.strip("0") or not token[0].isalnum() else len(token)
        self._content.append(self._content[-1] + worth)
        self._length.append(self._length[-1] + len(token))
        return self._one_character(token) or self._periodic() or self._row_ended(token) or self._says_the_same(token, worth)

    def _one_character(self, token: str) -> bool:
        if len(set(token)) > 1 or token.isspace():
            self._run = 0
            return False
        self._run = self._run + 1 if self._run and self._tokens[-2] == token else 1
        return len(token) == _PIECE and self._run >= _RUN // _PIECE if token[0].isalnum() else self._run > _LEADERS

    def _periodic(self) -> bool:
        tokens, last = self._tokens, len(self._tokens) - 1
        self._suspects = {period: start for period, start in self._suspects.items() if tokens[last] == tokens[last - period]}
        if last + 1 < _GRAM:
            return False
        gram = tuple(tokens[-_GRAM:])
        before = self._seen.get(gram)
        self._seen[gram] = last
        if before is not None and last - before not in self._suspects and len(self._suspects) < _SUSPECTS:
            self._suspects[last - before] = before - _GRAM + 1
        return any(self._too_often(period, start, last) for period, start in self._suspects.items())

    def _too_often(self, period: int, start: int, last: int) -> bool:
        worth = self._content[last + 1] - self._content[last + 1 - period]
        if not worth:
            return self._length[last + 1] - self._length[start] > _EMPTY
        bulk = worth + _MARKUP * (self._length[last + 1] - self._length[last + 1 - period] - worth)
        return (last + 1 - start) / period >= min(_MOST, max(_FEWEST, _CONTENT / bulk))

    def _row_ended(self, token: str) -> bool:
        if token not in {"\n", "</tr>"}:
            self._row.append(token)
            return False
        if self._row:
            self._counted = self._counted + 1 if _counts_up(self._last_row, self._row) else 0
            self._last_row, self._row = self._row, []
        return self._counted >= _COUNTING

    def _says_the_same(self, token: str, worth: int) -> bool:
        if not worth:
            return False
        self._recent.append(token)
        run = tuple(self._recent)
        self._runs.append(run)
        self._different[run] += 1
        if len(self._runs) <= _WINDOW:
            return False
        gone = self._runs.popleft()
        self._different[gone] -= 1
        if not self._different[gone]:
            del self._different[gone]
        return len(self._different) < _VARIETY * _WINDOW


def loops(text: str) -> bool:
    """Whether a whole text loops."""
    watch = Watch()
    return watch.feed(text) or watch.end()


def _ready(text: str) -> int:
    """Up to where tokens cannot change any more, whatever follows; one that ends there may still grow."""
    opened = text.rfind("<", max(0, len(text) - _LONGEST_TAG))
    return opened + 1 if opened >= 0 and ">" not in text[opened:] else len(text)


def _counts_up(before: list[str], row: list[str]) -> bool:
    if len(before) != len(row):
        return False
    changed = [(old, new) for old, new in zip(before, row, strict=True) if old != new]
    return len(changed) == 1 and all(part.isdecimal() for part in changed[0]) and int(changed[0][1]) == int(changed[0][0]) + 1
