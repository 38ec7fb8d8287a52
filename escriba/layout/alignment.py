"""Lays what a vision model said over the boxes that CPU OCR saw, so that its words can be found on the page.

Words are matched in order where they agree, then anywhere, then where they are alike; those between two matches share the boxes of the CPU words that stand there. Where CPU
OCR saw nothing, a word's box is an estimate, and its block says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import msgspec

from escriba.document import Block, BoundingBox, Line, Table, Word
from escriba.vision import Parsed, Said

_TAG = re.compile(r"<[^>]*>")
_PAIRS = 10_000  # of words between two matches that are compared for likeness
_ALIKE, _AS_LONG, _SHORT, _APART = 0.4, 0.65, 4, 4.0
_LINE_HEIGHT, _LEAST, _CHARACTERS = 14.0, 4.0, 80  # points of a line where nothing tells, and at least; what stands on it
_THIN = 0.5  # points: no place that is shared out is thinner, or nobody could find the word, nor a PDF hold it


class _Seen(NamedTuple):
    """A word of CPU OCR and the line it stands on, counted over the region."""

    word: Word
    line: int


class _Room(NamedTuple):
    """A part of a line where words may stand."""

    line: int
    box: BoundingBox


class _Placed(NamedTuple):
    """A word of the answer, its place, the line it stands on, and whether anybody saw a word there."""

    word: Word
    line: int
    seen: bool


def aligned(parsed: Parsed, cpu: Sequence[Block], region: BoundingBox) -> tuple[Block, ...]:
    """The answer's pieces as blocks in their order; `cpu` are the CPU reading's blocks inside the region (points)."""
    seen = [_Seen(word, n) for n, line in enumerate(line for block in cpu for line in block.lines) for word in line.words]
    tokens = [(number, token) for number, piece in enumerate(parsed.pieces) for token in _text(piece).split()]
    placed = _place([token for _, token in tokens], seen, region)
    by_piece: dict[int, list[_Placed]] = defaultdict(list)
    for (number, _), word in zip(tokens, placed, strict=True):
        by_piece[number].append(word)
    return tuple(_block(piece, by_piece[number]) for number, piece in enumerate(parsed.pieces) if by_piece[number])


def inside(blocks: Sequence[Block], box: BoundingBox | None) -> tuple[Block, ...]:
    """Of these blocks the lines whose middle lies in the box; everything where there is no box."""
    if box is None:
        return tuple(blocks)
    return tuple(
        _with_lines(block, lines) for block in blocks if (lines := tuple(line for line in block.lines if _middle_in(line.box, box)))
    )


def replaced(blocks: Sequence[Block], box: BoundingBox, better: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks with what stood in the box taken out, and what is better put in at the first place where something was."""
    kept: list[Block] = []
    place = -1
    for block in blocks:
        lines = tuple(line for line in block.lines if not _middle_in(line.box, box))
        if len(lines) < len(block.lines) and place < 0:
            # A block that is cut in two goes on behind what was put in, unless the cut is its beginning.
            before = tuple(line for line in lines if line.box.y0 < box.y0)
            if before:
                kept.append(_with_lines(block, before))
                lines = tuple(line for line in lines if line.box.y0 >= box.y0)
            place = len(kept)
        if lines:
            kept.append(block if len(lines) == len(block.lines) else _with_lines(block, lines))
    if place < 0:
        place = next((n for n, block in enumerate(kept) if block.box.y0 > box.y0), len(kept))
    return (*kept[:place], *better, *kept[place:])


def _with_lines(block: Block, lines: tuple[Line, ...]) -> Block:
    if lines == block.lines:
        return block
    return msgspec.structs.replace(block, lines=lines, box=BoundingBox.around(line.box for line in lines), table=None, unaligned=())


def _middle_in(inner: BoundingBox, box: BoundingBox) -> bool:
    x, y = (inner.x0 + inner.x1) / 2, (inner.y0 + inner.y1) / 2
    return box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def _text(piece: Said) -> str:
    return _TAG.sub(" ", piece.html) if piece.html and not piece.text else piece.text


def plain(token: str) -> str:
    """A word as it is compared: letters and digits without case and marks."""
    decomposed = unicodedata.normalize("NFKD", token.casefold())
    return "".join(c for c in decomposed if c.isalnum()) or token


def _place(tokens: Sequence[str], seen: Sequence[_Seen], region: BoundingBox) -> list[_Placed]:
    """One place a token."""
    ours, theirs = [plain(token) for token in tokens], [plain(s.word.text) for s in seen]
    matched = _matches(ours, theirs)
    placed: list[_Placed | None] = [None] * len(tokens)
    for mine, other in matched.items():
        word = seen[other]
        confidence = word.word.confidence if ours[mine] == theirs[other] else None
        placed[mine] = _Placed(Word(tokens[mine], word.word.box, confidence), word.line, seen=True)
    for first, last in _gaps(placed):
        between = _between(first, last, matched, seen)
        lengths = [len(token) for token in tokens[first:last]]
        lines = _rooms(between) or _estimates(sum(lengths) + len(lengths), first, last, placed, region)
        for n, (line, box) in enumerate(_shares(lengths, lines, region)):
            placed[first + n] = _Placed(Word(tokens[first + n], box), line, bool(between))
    return [word for word in placed if word is not None]


def _matches(ours: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """Which of our words is which of theirs: equal and in order first, then those that stand alone on both sides, then alike between these."""
    found: dict[int, int] = {}
    alike: dict[int, int] = {}
    here = there = 0
    for a, b, length in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        alike |= {here + i: there + j for i, j in _alike(ours[here:a], theirs[there:b])}
        found |= {a + n: b + n for n in range(length)}
        here, there = a + length, b + length
    left_here: dict[str, list[int]] = defaultdict(list)
    left_there: dict[str, list[int]] = defaultdict(list)
    for words, used, left in ((ours, set(found), left_here), (theirs, set(found.values()), left_there)):
        for n, token in enumerate(words):
            if n not in used:
                left[token].append(n)
    found |= {mine[0]: left_there[token][0] for token, mine in left_here.items() if len(mine) == 1 == len(left_there[token])}
    taken = set(found.values())
    return found | {mine: other for mine, other in alike.items() if mine not in found and other not in taken}


def _alike(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of words that are alike, in order, so that their likeness comes to the most: what OCR misreads keeps some of its letters and its place."""
    if not 0 < len(ours) * len(theirs) <= _PAIRS:
        return
    mine, other = _letters(ours), _letters(theirs)
    best = [[0.0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i in range(len(ours) - 1, -1, -1):
        for j in range(len(theirs) - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], _worth(mine[i], other[j]) + best[i + 1][j + 1])
    i = j = 0
    while i < len(ours) and j < len(theirs):
        worth = _worth(mine[i], other[j])
        if worth and best[i][j] == worth + best[i + 1][j + 1]:
            yield i, j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1


class _Letters(NamedTuple):
    """A word as pairs of its letters, and its place among its neighbours, 0 to 1."""

    pairs: Counter[str]
    place: float


def _letters(words: Sequence[str]) -> list[_Letters]:
    total, before, found = sum(map(len, words)), 0, []
    for word in words:
        framed = f"^{word}$"
        found.append(_Letters(Counter(framed[n : n + 2] for n in range(len(framed) - 1)), (before + len(word) / 2) / total))
        before += len(word)
    return found


def _worth(one: _Letters, other: _Letters) -> float:
    """Letters that two words have in common, less for words that stand apart; 0 for short ones, too little in common, or several run together."""
    short, long = sorted((one.pairs.total(), other.pairs.total()))
    likeness = 2 * (one.pairs & other.pairs).total() / (short + long)  # Dice's coefficient
    if short < _SHORT or short < _AS_LONG * long or likeness < _ALIKE:
        return 0.0
    return likeness * short * max(0.0, 1 - _APART * abs(one.place - other.place))


def _gaps(placed: Sequence[_Placed | None]) -> Iterator[tuple[int, int]]:
    first = None
    for n, word in enumerate([*placed, _Placed(Word("", BoundingBox(0, 0, 0, 0)), -1, seen=True)]):
        if word is None and first is None:
            first = n
        elif word is not None and first is not None:
            yield first, n
            first = None


def _between(first: int, last: int, matched: dict[int, int], seen: Sequence[_Seen]) -> list[_Seen]:
    """The CPU words that stand between the neighbours of a gap and belong to nobody."""
    before, after = matched.get(first - 1, -1), matched.get(last, len(seen))
    taken = set(matched.values())
    return [seen[n] for n in range(before + 1, after) if n not in taken]


def _rooms(words: Sequence[_Seen]) -> list[_Room]:
    """What these words take up of each of their lines."""
    lines: dict[int, list[BoundingBox]] = defaultdict(list)
    for word in words:
        lines[word.line].append(word.word.box)
    return [_Room(line, BoundingBox.around(boxes)) for line, boxes in lines.items()]


def _estimates(length: int, first: int, last: int, placed: Sequence[_Placed | None], region: BoundingBox) -> list[_Room]:
    """Where words of so many characters may stand that nobody saw: between those before and after, on that line or on lines of their own."""
    before = placed[first - 1] if first else None
    after = placed[last] if last < len(placed) else None
    if before and after and before.line == after.line and before.word.box.x1 < after.word.box.x0:
        return [_Room(before.line, BoundingBox(before.word.box.x1, before.word.box.y0, after.word.box.x0, before.word.box.y1))]
    top = before.word.box.y1 if before else region.y0
    bottom = after.word.box.y0 if after and after.word.box.y0 > top else region.y1
    if bottom - top < _LEAST:
        top, bottom = region.y0, region.y1
    count = -(-length // _CHARACTERS)
    pitch = min((bottom - top) / count, _LINE_HEIGHT)
    # Lines of their own: numbers that no line of the page has, and of each gap others.
    return [_Room(-1 - first - n, BoundingBox(region.x0, top + n * pitch, region.x1, top + (n + 1) * pitch)) for n in range(count)]


def _shares(lengths: Sequence[int], lines: Sequence[_Room], region: BoundingBox) -> Iterator[_Room]:
    """The lines, laid end to end, dealt out by length; no share reaches over the end of a line, and each has an area."""
    total = sum(lengths) + len(lengths) - 1
    wide = sum(room.box.width for room in lines) or 1.0
    position = 0.0
    for length in lengths:
        start, end = position * wide / total, (position + length) * wide / total
        position += length + 1
        for room in lines:
            box = room.box
            # A word stands where its middle lies: so it keeps half its share at least, however close to the end of a line it begins.
            if (start + end) / 2 < box.width or room is lines[-1]:
                left, right = (min(max(box.x0 + side, box.x0), box.x1) for side in (start, end))
                across, down = _some(left, right, region.x0, region.x1), _some(box.y0, box.y1, region.y0, region.y1)
                yield _Room(room.line, BoundingBox(across[0], down[0], across[1], down[1]))
                break
            start, end = start - box.width, end - box.width


def _some(start: float, end: float, first: float, last: float) -> tuple[float, float]:
    """A side from `start` to `end`; where that is next to nothing, `_THIN` points of the region's (`first` to `last`) around it."""
    if end - start < _THIN:
        start = max(min((start + end - _THIN) / 2, last - _THIN), first)
        end = start + _THIN
    return round(start, 2), round(end, 2)


def _block(piece: Said, words: Sequence[_Placed]) -> Block:
    lines: list[list[Word]] = [[]]
    on = words[0].line
    for word in words:
        if word.line != on:
            lines.append([])
            on = word.line
        lines[-1].append(word.word)
    made = tuple(Line.of(line) for line in lines)
    return Block(
        kind=piece.kind,
        box=BoundingBox.around(line.box for line in made),
        lines=made,
        level=piece.level,
        table=Table(piece.html) if piece.html else None,
        unaligned=tuple(_runs([word.seen for word in words])),
    )


def _runs(seen: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First and last of each run of words that nobody saw."""
    first = None
    for n, was in enumerate([*seen, True]):
        if not was and first is None:
            first = n
        elif was and first is not None:
            yield first, n - 1
            first = None
