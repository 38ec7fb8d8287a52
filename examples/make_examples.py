"""Draws the example documents, the same ones each time: everything in them is invented."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pymupdf
from PIL import Image, ImageFilter

HERE = Path(__file__).parent
A4 = (595.0, 842.0)
FIXED = {"creationDate": "D:20260101000000Z", "modDate": "D:20260101000000Z", "producer": "Escriba", "creator": "Escriba"}

LEFT = [
    (
        "The harbour moved forty thousand crates in the first quarter, nine per cent more than a year before. "
        "Most of the growth came from citrus, which filled the new cold store two weeks ahead of plan."
    ),
    "Delays fell for the third quarter in a row. A crate now waits eleven hours between crane and train.",
]
RIGHT = [
    (
        "Costs rose more slowly than volume. Energy was the exception: the cold store doubled its share of the bill, "
        "and the night tariff ends in June."
    ),
    "The board asks for a decision on solar panels before the summer.",
]
BULLETS = ["Renew the crane contract", "Train two more inspectors", "Publish the berth plan every Monday"]
STEPS = ["Weigh the crate", "Read its seal", "Sign the manifest"]
TABLE = [["Quay", "Crates", "Hours"], ["North", "18 204", "10.5"], ["South", "15 930", "11.8"], ["Cold store", "6 112", "9.1"]]

CONTRATO = [
    "CONTRATO DE PRESTAÇÃO DE SERVIÇOS",
    "Entre a Padaria São João, Lda., com sede na Rua das Flores, 12,",
    "e a Oficina Conceição & Irmãos, é celebrado o presente contrato.",
    "Cláusula 1. A segunda outorgante obriga-se à manutenção mensal",
    "dos fornos e à reparação de avarias no prazo de 48 horas.",
    "Cláusula 2. O preço é de 350,00 € por mês, acrescido de IVA.",
    "Cláusula 3. O contrato vigora até 31 de dezembro de 2027 e",
    "renova-se por períodos de um ano, salvo denúncia por escrito.",
    "Póvoa de Varzim, 3 de março de 2026",
]
RECIBO = ["MERCADO DA PRAÇA", "Rua do Sol 45", "Pão de trigo   1,20", "Queijo fresco  3,85", "Maçãs 1 kg     2,10", "TOTAL          7,15"]


def main() -> None:
    """Write every example beside this file."""
    save(report(), "report.pdf")
    save(scan_pdf(CONTRATO, turn=1.5), "digitalizacao.pdf")
    save(mixed(), "mixed.pdf")
    (HERE / "recibo.jpg").write_bytes(photo())
    write_truths()


def write_truths() -> None:
    """What the documents hold, beside them, in the forms that `escriba eval` scores by."""
    for name, lines in (("recibo.gt.txt", RECIBO), ("digitalizacao.gt.txt", CONTRATO)):
        (HERE / name).write_text("\n".join(lines) + "\n", "utf-8")
    rows = [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in TABLE]
    head = f'<tr><td colspan="{len(TABLE[0])}">January to March</td></tr>'
    (HERE / "report.expected.html").write_text(f"<table>{head}{''.join(rows)}</table>\n", "utf-8")
    facts = [
        {"type": "present", "page": 1, "text": "Harbour report, first quarter", "first_n": 40},
        {"type": "order", "page": 1, "before": "Delays fell", "after": "Costs rose"},
        {"type": "absent", "page": 2, "text": "solar panels"},
        {
            "type": "table",
            "page": 2,
            "cell": TABLE[2][2],
            "left": TABLE[2][1],
            "top_heading": "January to March",
            "left_heading": TABLE[2][0],
        },
    ]
    (HERE / "report.facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts), "utf-8")


def save(document: pymupdf.Document, name: str) -> None:
    """Save with fixed dates and without a random id."""
    document.subset_fonts()
    document.set_metadata(FIXED)
    document.save(HERE / name, garbage=4, deflate=True, no_new_id=True)


def write(page: pymupdf.Page, x0: float, y0: float, x1: float, text: str, size: float = 10.5, font: str = "tiro") -> float:
    """Put a paragraph between `x0` and `x1` from `y0` down; returns where it ends (points)."""
    # The bundled font itself is embedded: by name alone a PDF's standard fonts know neither the euro nor the bullet.
    page.insert_font(fontname=font + "-own", fontbuffer=pymupdf.Font(font).buffer)
    box = pymupdf.Rect(x0, y0, x1, page.mediabox.height)
    return float(box.y1 - page.insert_textbox(box, text, fontsize=size, fontname=font + "-own", lineheight=1.25))


def report() -> pymupdf.Document:
    """Two pages: a title, headings, two columns, lists, and a ruled table with a cell across two columns."""
    document = pymupdf.open()
    page = document.new_page(width=A4[0], height=A4[1])
    write(page, 60, 60, 535, "Harbour report, first quarter", 22, "tibo")
    write(page, 60, 108, 535, "1. Overview", 15, "tibo")
    for x, paragraphs in ((60, LEFT), (310, RIGHT)):
        y = 140.0
        for paragraph in paragraphs:
            y = write(page, x, y, x + 225, paragraph) + 10
    write(page, 60, 330, 535, "2. What comes next", 15, "tibo")
    for n, item in enumerate(BULLETS):
        write(page, 70, 360 + 18 * n, 535, f"\u2022 {item}")
    write(page, 60, 425, 535, "Each crate passes three stations:")
    for n, item in enumerate(STEPS):
        write(page, 70, 447 + 18 * n, 535, f"{n + 1}. {item}")
    second = document.new_page(width=A4[0], height=A4[1])
    write(second, 60, 60, 535, "3. Figures", 15, "tibo")
    write(second, 60, 90, 535, "Crates handled on each quay and the mean wait in hours.")
    table(second, 60, 125)
    write(second, 60, 270, 535, "All figures are provisional until the audit in May.")
    return document


def table(page: pymupdf.Page, x: float, y: float) -> None:
    """Draw TABLE with a first row that spans all of its columns."""
    widths, height = (150.0, 90.0, 90.0), 22.0
    right, rows = x + sum(widths), len(TABLE) + 1
    for n in range(rows + 1):
        page.draw_line((x, y + n * height), (right, y + n * height), width=0.8)
    for n in range(len(widths) + 1):
        at = x + sum(widths[:n])
        top = y if n in {0, len(widths)} else y + height
        page.draw_line((at, top), (at, y + rows * height), width=0.8)
    write(page, x + 5, y + 3, right, "January to March", font="tibo")
    for r, row in enumerate(TABLE, start=1):
        for c, cell in enumerate(row):
            left = x + sum(widths[:c])
            write(page, left + 5, y + r * height + 3, left + widths[c], cell)


def scanned(lines: list[str], turn: float, size: tuple[float, float] = A4) -> bytes:
    """A page as a scanner gives it: skewed by `turn` degrees, soft, noisy, grey, in JPEG."""
    document = pymupdf.open()
    page = document.new_page(width=size[0], height=size[1])
    for n, line in enumerate(lines):
        write(page, 60, 80 + 30 * n, size[0] - 20, line, 14 if n else 16, "tiro" if n else "tibo")
    pixmap = page.get_pixmap(dpi=150, colorspace=pymupdf.csGRAY)
    image = Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)
    image = image.rotate(turn, resample=Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(0.6))
    noise = np.random.default_rng(7).normal(0, 9, (image.height, image.width))
    pixels = np.clip(np.asarray(image, dtype=float) * 0.93 + noise, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=55, dpi=(150, 150))
    return out.getvalue()


def scan_pdf(lines: list[str], turn: float) -> pymupdf.Document:
    """A PDF that holds nothing but a scan."""
    document = pymupdf.open()
    page = document.new_page(width=A4[0], height=A4[1])
    page.insert_image(page.rect, stream=scanned(lines, turn))
    return document


def mixed() -> pymupdf.Document:
    """A digital page, a scanned page, a landscape page stored turned, and a small page."""
    document = pymupdf.open()
    page = document.new_page(width=A4[0], height=A4[1])
    write(page, 60, 60, 535, "Invoice 2026/041", 20, "tibo")
    write(page, 60, 100, 535, "Billed to Serralharia Moderna for six hours of consulting in February. Payment is due within thirty days.")
    scan = document.new_page(width=A4[0], height=A4[1])
    scan.insert_image(scan.rect, stream=scanned(["Delivery note 88", "Received in good order on 4 March 2026.", "Signed: A. Moura"], -0.8))
    turned = document.new_page(width=A4[0], height=A4[1])
    turned.insert_text((300, 700), "This page is stored sideways and shown upright.", fontsize=14, fontname="tiro", rotate=90)
    turned.set_rotation(90)
    small = document.new_page(width=298, height=420)
    write(small, 30, 40, 268, "A note on a small page: the spare keys hang in the porter's lodge.", 11)
    return document


def photo() -> bytes:
    """A receipt on a table as a telephone sees it: in perspective, unevenly lit."""
    document = pymupdf.open()
    page = document.new_page(width=260, height=300)
    for n, line in enumerate(RECIBO):
        page.insert_text((20, 45 + 40 * n), line, fontsize=17, fontname="cour")
    pixmap = page.get_pixmap(dpi=250, colorspace=pymupdf.csGRAY)
    paper = Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)
    width, height = paper.size
    table_top = Image.new("L", (width + 200, height + 200), 90)
    table_top.paste(paper, (100, 100))
    # The far edge of the paper is a little shorter than the near one.
    corners = (-25, 0, 0, table_top.height, table_top.width, table_top.height, table_top.width + 25, 0)
    seen = table_top.transform(table_top.size, Image.Transform.QUAD, corners, resample=Image.Resampling.BICUBIC, fillcolor=90)
    light = np.linspace(0.72, 1.02, seen.width)[None, :] * np.linspace(1.0, 0.85, seen.height)[:, None]
    pixels = np.clip(np.asarray(seen, dtype=float) * light, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(out, "JPEG", quality=70, dpi=(250, 250))
    return out.getvalue()


if __name__ == "__main__":
    main()
