"""Our own examples, read by the real engines, word for word as they were drawn."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pymupdf
import pytest

import escriba
from escriba.document import Document
from escriba.formats.markdown import page_markdown
from tests.documents import EXAMPLES

REPORT = """\
<!-- page 1 -->

# Harbour report, first quarter

## 1. Overview

The harbour moved forty thousand crates in the first quarter, nine per cent more than a year before. \
Most of the growth came from citrus, which filled the new cold store two weeks ahead of plan.

Delays fell for the third quarter in a row. A crate now waits eleven hours between crane and train.

Costs rose more slowly than volume. Energy was the exception: the cold store doubled its share of the bill, \
and the night tariff ends in June.

The board asks for a decision on solar panels before the summer.

## 2. What comes next

- Renew the crane contract
- Train two more inspectors
- Publish the berth plan every Monday

Each crate passes three stations:

1. Weigh the crate
2. Read its seal
3. Sign the manifest

<!-- page 2 -->

## 3. Figures

Crates handled on each quay and the mean wait in hours.

<table><tr><td colspan="3">January to March</td></tr>\
<tr><td>Quay</td><td>Crates</td><td>Hours</td></tr>\
<tr><td>North</td><td>18 204</td><td>10.5</td></tr>\
<tr><td>South</td><td>15 930</td><td>11.8</td></tr>\
<tr><td>Cold store</td><td>6 112</td><td>9.1</td></tr></table>

All figures are provisional until the audit in May.

"""


@cache
def reading(name: str) -> Document:
    return escriba.read(EXAMPLES / name)


def markdown(name: str) -> str:
    return "".join(page_markdown(page) for page in reading(name).pages)


def test_the_report_reads_as_it_was_drawn() -> None:
    """Column order, headings and their levels, both lists and every table cell are exactly these."""
    assert markdown("report.pdf") == REPORT


def test_the_scan_in_portuguese_keeps_its_accents() -> None:
    """The noisy, skewed scan is read by OCR, accents, euro sign and all."""
    page = reading("digitalizacao.pdf").pages[0]
    text = " ".join(word.text for word in page.words())
    assert (page.route, page.engine) in {("ocr", "rapidocr"), ("ocr", "tesseract")}
    for phrase in (
        "CONTRATO DE PRESTAÇÃO DE SERVIÇOS",
        "Padaria São João, Lda.",
        "Oficina Conceição & Irmãos",
        "manutenção mensal dos fornos",
        "350,00 € por mês",
        "31 de dezembro de 2027",
        "Póvoa de Varzim, 3 de março de 2026",
    ):
        assert phrase in text
    assert page.confidence is not None
    assert page.confidence > 0.95


def test_the_mixed_document_takes_each_page_its_own_way() -> None:
    """Digital, scanned, turned and small: routes, sizes as displayed, texts."""
    pages = reading("mixed.pdf").pages
    assert [page.route for page in pages] == ["text_layer", "ocr", "text_layer", "text_layer"]
    assert [(round(page.width), round(page.height)) for page in pages] == [(595, 842), (595, 842), (842, 595), (298, 420)]
    texts = [" ".join(word.text for word in page.words()) for page in pages]
    assert texts[0].startswith("Invoice 2026/041 Billed to Serralharia Moderna")
    assert texts[1] == "Delivery note 88 Received in good order on 4 March 2026. Signed: A. Moura"
    assert texts[2] == "This page is stored sideways and shown upright."
    assert texts[3] == "A note on a small page: the spare keys hang in the porter's lodge."
    for page in pages:
        for word in page.words():
            assert 0 <= word.box.x0 < word.box.x1 <= page.width
            assert 0 <= word.box.y0 < word.box.y1 <= page.height
    line = pages[2].blocks[0].lines[0].box
    assert line.width > line.height  # upright, as displayed


def test_the_receipt_is_read_row_by_row() -> None:
    """A photo in perspective: each price stays on the line of what it buys."""
    lines = [line.text for block in reading("recibo.jpg").pages[0].blocks for line in block.lines]
    assert lines == ["MERCADO DA PRAÇA", "Rua do Sol 45", "Pão de trigo 1,20", "Queijo fresco 3,85", "Maçãs 1 kg 2,10", "TOTAL 7,15"]


def test_the_script_draws_the_same_examples_again(tmp_path: Path) -> None:
    """The committed examples are what the committed script makes: same pages, same text."""
    script = (EXAMPLES / "make_examples.py").read_text()
    (tmp_path / "make_examples.py").write_text(script)
    subprocess.run([sys.executable, tmp_path / "make_examples.py"], check=True, timeout=60)
    for name in ("report.pdf", "digitalizacao.pdf", "mixed.pdf"):
        with pymupdf.open(EXAMPLES / name) as committed, pymupdf.open(tmp_path / name) as drawn:
            assert [page.get_text() for page in committed] == [page.get_text() for page in drawn]
            assert [page.rect for page in committed] == [page.rect for page in drawn]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in EXAMPLES.iterdir()} - {
        "policy.toml",
        "make_pictures.py",
        "demo_break.py",
    }


@pytest.mark.parametrize("name", ["report.pdf", "mixed.pdf"])
def test_no_invented_words(name: str) -> None:
    """Every word of the text-layer pages stands in the file's own text."""
    with pymupdf.open(EXAMPLES / name) as file:
        own = set(re.findall(r"\S+", "".join(page.get_text() for page in file)))
    for page in reading(name).pages:
        if page.route == "text_layer":
            assert {word.text for word in page.words()} <= own
