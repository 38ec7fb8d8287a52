"""The guards on anything at all: always a verdict, never a text refused for straying from itself, in time that grows with its length alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from escriba.document import Block, Line, Word
from escriba.guards.acceptance import NAMES, judge
from escriba.policy import Policy, Vision
from escriba.vision import Answer, Parsed, Said
from tests.unit.guarded_page import BOX, INVOICE, WHOLE, read, verdict


def blocks() -> st.SearchStrategy[tuple[Block, ...]]:
    confidence = st.one_of(st.none(), st.floats(0, 1))
    words = st.builds(Word, st.text(min_size=0, max_size=12), st.just(BOX), confidence)
    lines = st.builds(Line, st.just(BOX), st.lists(words, max_size=6).map(tuple))
    return st.lists(st.builds(Block, st.just("paragraph"), st.just(BOX), st.lists(lines, max_size=4).map(tuple)), max_size=3).map(tuple)


def pieces() -> st.SearchStrategy[Parsed | None]:
    piece = st.builds(Said, st.sampled_from(["paragraph", "table", "heading"]), st.text(max_size=60), st.just(0), st.text(max_size=30))
    return st.one_of(st.none(), st.lists(piece, max_size=4).map(lambda found: Parsed(tuple(found))))


@given(pieces(), blocks(), st.floats(0, 1), st.text(max_size=40), st.text(max_size=40))
def test_anything_gets_a_verdict(parsed: Parsed | None, cpu: tuple[Block, ...], ink: float, text: str, prompt: str) -> None:
    """Never an error, always a known name, and a share only from 0 to 1."""
    found = judge(Answer(text=text, finish="stop", model="m"), parsed, cpu, ink=ink, region=WHOLE, prompt=prompt, policy=Policy())
    assert found.refused in {"", *NAMES}
    assert bool(found.reason) == bool(found.refused)
    assert found.grounded is None or 0 <= found.grounded <= 1


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_whatever_cpu_ocr_read_is_believed_or_refused_for_what_it_says(text: str) -> None:
    """An answer that equals CPU OCR's reading is grounded in it: it never strays, contradicts or lacks anything."""
    assert verdict(text, text).refused not in {"contradicted", "truncated", "strayed", "wrong_language", "prompt_leaked", "model_talk"}


def test_time_grows_with_length_alone() -> None:
    """Ten times the page takes about ten times as long: words, one number over and over, numbers that all differ."""
    for unit in (INVOICE, "Linha {n} valor 17 23 31\n", "{n}7 {n}1,5 ", "1{n} ", "7 " * 20, "a" * 40 + " "):
        short, long = (list(_pages(unit, count)) for count in (60, 600))
        assert _seconds(long) < 40 * _seconds(short) + 0.5


def _pages(unit: str, count: int) -> Iterator[str]:
    return (unit.replace("{n}", str(n * 7919 % 9973)) for n in range(count))


def _seconds(lines: list[str]) -> float:
    cpu = read("\n".join(lines))
    changed = "\n".join(line.replace("7", "1") for line in lines)
    policy = Policy(vision=Vision(max_tokens=100_000))
    began = time.process_time()
    judge(
        Answer(text="", finish="stop", model="m"),
        Parsed((Said("paragraph", changed),)),
        cpu,
        ink=0.1,
        region=WHOLE,
        prompt="",
        policy=policy,
    )
    return time.process_time() - began
