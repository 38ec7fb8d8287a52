"""Loops are noticed while they are written; tables, forms and contents that merely repeat are not."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escriba.guards.repetition import Watch, loops

LETTER = "Exmo. Senhor,\nvimos por este meio confirmar a encomenda n.º 4471 de 12 de março.\n"
SHUFFLED = random.Random(1)
ROW = "<tr><td>Parafuso M8</td><td>12</td><td>0,35</td></tr>"

LOOPS = {
    "a line": LETTER + "O pagamento será feito a 30 dias.\n" * 90,
    "a paragraph": LETTER * 40,
    "a word": LETTER + "não " * 600,
    "a letter": LETTER + "a" * 200,
    "a digit": "Total: 1" + "0" * 200,
    "a mark": "Índice " + "." * 900,
    "letters without spaces": "abcab" * 1000,
    "a table's row": f"<table>{ROW * 80}",
    "a Markdown row": "| Parafuso M8 | 12 | 0,35 |\n" * 120,
    "a row that counts": "".join(f"| {n} | Parafuso M8 | 0,35 |\n" for n in range(1, 150)),
    "empty cells": "<table>" + "<tr>" + "<td></td>" * 1000,
    "the same in another order": " ".join(SHUFFLED.choice(["o preço do pão", "a hora do dia", "um dia de sol"]) for _ in range(400)),
    "Chinese": "发票号码" * 500,
}
PAGES = {
    "nothing": "",
    "a letter": LETTER,
    "dotted leaders": "".join(f"Capítulo {n} {'.' * 80} {n * 7}\n" for n in range(1, 60)),
    "leaders with spaces": "".join(f"Anexo {'. ' * 60}{n}\n" for n in range(1, 40)),
    "rows of zeros": "<table>" + ("<tr>" + "<td>0,00</td>" * 6 + "</tr>") * 30 + "</table>",
    "equal rows": f"<table>{ROW * 12}</table>",
    "equal cells": "<table>" + ("<tr>" + "<td>Não</td>" * 8 + "</tr>") * 25 + "</table>",
    "an empty form": "<table>" + ("<tr>" + "<td></td>" * 15 + "</tr>") * 30 + "</table>",
    "a sheet of labels": "Biblioteca Municipal de Évora\nRua de Avis 12\n" * 24,
    "a statement": "".join(f"TRANSFERENCIA RECEBIDA {n % 28 + 1:02}/03 {n * 37 % 991},{n % 100:02}\n" for n in range(150)),
    "numbered lines": "".join(f"{n}. ____________\n" for n in range(1, 60)),
    "a rule": "Recibo\n" + "-" * 120 + "\n" + "=" * 120,
    "a receipt twice": LETTER * 3,
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_noticed(name: str) -> None:
    """Whatever repeats: a line, a paragraph, a letter, a row, rows that only count."""
    assert loops(LOOPS[name])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_repeats_is_no_loop(name: str) -> None:
    """Tables of equal rows, leaders, zeros, labels and statements pass."""
    assert not loops(PAGES[name])


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_noticed_long_before_the_limit(name: str) -> None:
    """Streamed in small pieces, an endless answer is cut within 8,000 characters of its loop, and stays cut."""
    watch, text = Watch(), LOOPS[name]
    tail = text[len(text) // 2 :]
    fed = 0
    for at in range(0, len(text), 7):
        fed = at
        if watch.feed(text[at : at + 7]):
            break
    while not watch.looping and fed < 12_000:
        watch.feed(tail)
        fed += len(tail)
    assert watch.looping
    assert fed < 9_000
    assert watch.feed("and now something else entirely")


@settings(max_examples=40)
@given(st.sampled_from([*LOOPS.values(), *PAGES.values()]), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_pieces_do_not_matter(text: str, sizes: list[int]) -> None:
    """However a text is cut into pieces, the verdict is that of the whole."""
    watch, at, turn = Watch(), 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        watch.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    assert watch.end() == loops(text)


@given(st.text(max_size=300))
def test_any_text_has_a_verdict(text: str) -> None:
    """Nothing that a model may send raises an error."""
    assert loops(text) in {True, False}


def test_time_grows_with_length_alone() -> None:
    """Ten times the text takes about ten times as long, prose and hostile pieces alike."""
    rng = random.Random(3)
    words = ["".join(rng.choice("abcdefgh") for _ in range(5)) for _ in range(3000)]
    for text in (" ".join(rng.choice(words) for _ in range(40_000)), "<a " * 60_000, " " * 200_000 + "x", "<td" + "x" * 200_000):
        short, long = _seconds(text[: len(text) // 10]), _seconds(text)
        assert long < 40 * short + 0.2


def _seconds(text: str) -> float:
    began = time.process_time()
    watch = Watch()
    for at in range(0, len(text), 4):
        watch.feed(text[at : at + 4])
    return time.process_time() - began
