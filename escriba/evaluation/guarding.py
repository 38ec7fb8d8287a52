"""What the acceptance guards make of adversarial answers and of true ones: each judged, then counted by kind, half by half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import msgspec
import numpy as np

from escriba.document import Block
from escriba.evaluation.adversaries import KINDS, PROMPT, SWAPPED, Attempt, Subject, attempts, sure_numbers, text_of
from escriba.evaluation.split import Half
from escriba.evaluation.statistics import Estimate, estimate
from escriba.guards.acceptance import judge
from escriba.policy import Policy
from escriba.vision import Answer, Parsed, Region

TRUTH, OVERALL, ALL_SWAPPED = "ground truth", "all adversarial answers", "all swapped digits and dates"
TARGETS = {OVERALL: (0.90, 1.0), ALL_SWAPPED: (0.95, 1.0), TRUTH: (0.0, 0.05)}
"""The least and the largest share refused that the guards must keep to on the reporting half."""
HALVES: tuple[Half, ...] = ("tuning", "reporting")
_CHARACTERS_A_TOKEN = 4
_SEED = 20_240_229


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One answer and its verdict: the guard that refused it, or none, and the share of sure words that it agreed with."""

    name: str
    document: str
    half: Half
    kind: str
    refused: str
    grounded: float | None


class Blank(msgspec.Struct, frozen=True):
    """An empty page: what CPU OCR made of it, and its share of inked pixels."""

    cpu: tuple[Block, ...]
    ink: float


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers of a kind were refused, and by which guards; `share` has its interval over documents."""

    kind: str
    answers: int
    refused: int
    share: Estimate
    guards: dict[str, int]


class HalfCounts(msgspec.Struct, frozen=True, kw_only=True):
    """One half of the documents. `sure` of so many numbers of its truths was CPU OCR, `ungrounded` pages it was sure of nothing on."""

    pages: int
    ungrounded: int
    sure_numbers: int
    counts: list[Count]


def blank_pictures() -> dict[str, bytes]:
    """Empty pages as scanners give them, PNG by file name: paper with a little noise, and grey paper that is darker to one side."""
    chance = np.random.default_rng(_SEED)
    height, width = 1754, 1240  # A4 at 150 dots per inch
    shade = np.linspace(0, 40, width)[None, :].repeat(height, 0)
    pages = {"white.png": np.full((height, width), 250.0), "shaded.png": 225.0 - shade}
    noisy = {name: np.clip(page + chance.normal(0, 4, page.shape), 0, 255).astype(np.uint8) for name, page in pages.items()}
    return {name: cv2.imencode(".png", page)[1].tobytes() for name, page in noisy.items()}


def judged(subjects: Sequence[Subject], blanks: Sequence[Blank], policy: Policy) -> Iterator[Judged]:
    """Every adversarial answer and the true one of each page, judged as the stage would; another page is the next of the same half."""
    for half in HALVES:
        part = [subject for subject in subjects if subject.half == half]
        for at, subject in enumerate(part):
            yield _judged(subject, Attempt(TRUTH, subject.truth), subject.cpu, subject.ink, policy)
            for attempt in attempts(subject, part[(at + 1) % len(part)]):
                places = blanks if attempt.blank else (Blank(subject.cpu, subject.ink),)
                for place in places:
                    yield _judged(subject, attempt, place.cpu, place.ink, policy)


def _judged(subject: Subject, attempt: Attempt, cpu: Sequence[Block], ink: float, policy: Policy) -> Judged:
    text = text_of(attempt.pieces)
    # A liar says that it has finished, or the guards' work would be too easy.
    answer = Answer(
        text=text, finish="stop", model="adversary", answer_tokens=min(len(text) // _CHARACTERS_A_TOKEN, policy.vision.max_tokens)
    )
    verdict = judge(answer, Parsed(attempt.pieces), cpu, ink=ink, region=Region("low_confidence"), prompt=PROMPT, policy=policy)
    return Judged(
        name=subject.name,
        document=subject.document,
        half=subject.half,
        kind=attempt.kind,
        refused=verdict.refused,
        grounded=verdict.grounded,
    )


def summarise(subjects: Sequence[Subject], rows: Sequence[Judged]) -> dict[Half, HalfCounts]:
    """Counts by kind, then in total, then of the true answers, for each half that has pages."""
    return {
        half: _half(part, [row for row in rows if row.half == half]) for half in HALVES if (part := [s for s in subjects if s.half == half])
    }


def _half(subjects: Sequence[Subject], rows: Sequence[Judged]) -> HalfCounts:
    groups = {kind: [row for row in rows if row.kind == kind] for kind in KINDS}
    groups[ALL_SWAPPED] = [row for row in rows if row.kind in SWAPPED]
    groups[OVERALL] = [row for row in rows if row.kind != TRUTH]
    groups[TRUTH] = [row for row in rows if row.kind == TRUTH]
    return HalfCounts(
        pages=len(subjects),
        ungrounded=sum(not row.refused and row.grounded is None for row in groups[TRUTH]),
        sure_numbers=sum(len(sure_numbers(subject)) for subject in subjects),
        counts=[_count(kind, part) for kind, part in groups.items() if part],
    )


def _count(kind: str, rows: Sequence[Judged]) -> Count:
    guards: dict[str, int] = {}
    for row in rows:
        if row.refused:
            guards[row.refused] = guards.get(row.refused, 0) + 1
    return Count(
        kind=kind,
        answers=len(rows),
        refused=sum(guards.values()),
        share=estimate([float(bool(row.refused)) for row in rows], [row.document for row in rows]),
        guards=dict(sorted(guards.items(), key=lambda entry: -entry[1])),
    )


def missed(summary: dict[Half, HalfCounts]) -> list[str]:
    """What the reporting half falls short of, in sentences; without pages of that half, that."""
    if "reporting" not in summary:
        return ["no page is in the reporting half, so nothing is shown"]
    told = []
    for count in summary["reporting"].counts:
        least, most = TARGETS.get(count.kind, (0.0, 1.0))
        if not least <= count.refused / count.answers <= most:
            wanted = f"at least {least:.0%}" if least else f"at most {most:.0%}"
            told.append(f"{count.kind}: {count.refused} of {count.answers} were refused, which must be {wanted}")
    return told
