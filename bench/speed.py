"""`make bench`: what the pipeline costs beside the bare engines, all in one run; figures are ratios, for machines differ and are noisy."""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pymupdf

from bench.measure import DATA, ROOT, Cost, escriba_run, measured, row
from escriba.policy import Policy
from escriba.sources.opening import open_source
from escriba.triage import choose_route

WORDS = [
    "harbour",
    "crate",
    "berth",
    "tariff",
    "citrus",
    "quay",
    "ledger",
    "winter",
    "manifest",
    "inspector",
    "rope",
    "anchor",
    "signal",
    "cargo",
    "night",
]


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=24, help="page images to read with OCR")
    parser.add_argument("--long", type=int, default=5000, help="pages of the long document")
    options = parser.parse_args()
    if not DATA.exists():
        print("The development documents are absent: measured on examples/, which are few; take the figures as a smoke test.")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        scans(scratch, options.scans)
        born_digital(scratch)
        long_document(scratch, options.long)


def scans(scratch: Path, limit: int) -> None:
    """OCR pages: the pipeline's CPU over that of bare RapidOCR on the same files."""
    images = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
    files = [path for path in sorted((DATA / "scans" if DATA.exists() else ROOT / "examples").iterdir()) if path.suffix in images]
    files = random.Random(1).sample(files, min(limit, len(files)))  # noqa: S311  (the same ones each time)
    bare, ours = peer("rapidocr", files), measured(escriba_run(files, scratch / "scans"), check=False)
    start = measured(escriba_run([write_pdf(scratch / "start.pdf", 1, 7)], scratch / "start")), peer("rapidocr", [])
    print(f"\nScans: {len(files)} page images")
    row("", "CPU s", "CPU s a page", "wall s", "MiB")
    for label, cost in (("rapidocr, bare", bare), ("escriba run", ours)):
        row(label, f"{cost.cpu:.1f}", f"{cost.cpu / len(files):.3f}", f"{cost.wall:.1f}", f"{cost.peak:.0f}")
    print(
        f"The pipeline's CPU is {ours.cpu / bare.cpu:.3f} of the bare engine's (start included: ours {start[0].cpu:.1f} s, its {start[1].cpu:.1f} s)"
    )
    if len(files) > 1:
        print(f"without the start of either: {(ours.cpu - start[0].cpu) / (bare.cpu - start[1].cpu):.3f} (target at most 1.10)")


def born_digital(scratch: Path) -> None:
    """Pages with a text layer: pages per CPU-second of the pipeline, of text extraction alone and of another program."""
    folder = DATA / "born_digital" if DATA.exists() else ROOT / "examples"
    counted = {path: pages for path in sorted(folder.glob("*.pdf")) if (pages := text_pages(path))}
    files, pages = list(counted), sum(counted.values())
    costs = {
        "get_text('dict') alone": (peer("get_text", files), peer("get_text", files[:1])),
        "pipeline, in memory": (peer("in_memory", files), peer("in_memory", files[:1])),
        "escriba run": (measured(escriba_run(files, scratch / "digital"), check=False), measured(escriba_run(files[:1], scratch / "one"))),
    }
    if importlib.util.find_spec("kreuzberg"):
        costs["kreuzberg"] = (peer("kreuzberg", files), peer("kreuzberg", files[:1]))
    print(f"\nBorn-digital: {pages} pages of {len(files)} documents that need no OCR (target at least 30 per CPU-second)")
    row("", "pages/CPU-s", "less start", "CPU s", "MiB")
    for label, (whole, one) in costs.items():
        row(
            label,
            f"{pages / whole.cpu:.1f}",
            f"{(pages - counted[files[0]]) / (whole.cpu - one.cpu):.1f}",
            f"{whole.cpu:.1f}",
            f"{whole.peak:.0f}",
        )


def long_document(scratch: Path, pages: int) -> None:
    """A document of thousands of pages: memory, and time a page beside documents of fifty."""
    long = write_pdf(scratch / "long.pdf", pages, 0)
    short = [write_pdf(scratch / f"short{n}.pdf", 50, n + 1) for n in range(max(1, pages // 500))]
    one = measured(escriba_run([write_pdf(scratch / "single.pdf", 1, 99)], scratch / "out-single"))
    many = measured(escriba_run(short, scratch / "out-short")).less(one)
    whole = measured(escriba_run([long], scratch / "out-long"))
    rest = whole.less(one)
    each, each_short = rest.wall / pages, many.wall / (50 * len(short))
    print(f"\nA document of {pages:,} pages beside {len(short)} of 50, the start ({one.wall:.1f} s) taken off")
    row("", "ms a page", "CPU ms", "MiB", "largest")
    row("50 pages", f"{1000 * each_short:.1f}", f"{20 * many.cpu / len(short):.1f}", f"{many.peak:.0f}", f"{many.largest:.0f}")
    row(f"{pages:,} pages", f"{1000 * each:.1f}", f"{1000 * rest.cpu / pages:.1f}", f"{whole.peak:.0f}", f"{whole.largest:.0f}")
    print(f"Time a page is {each / each_short:.2f} of the short documents' (target at most 1.3); memory target under 600 MiB")


def peer(name: str, files: Sequence[Path]) -> Cost:
    """What a bare engine or another program costs on these files."""
    return measured([sys.executable, "-m", "bench.peers", name, *files])


def text_pages(path: Path) -> int:
    """The number of pages of a PDF when every one of them has a good text layer, else 0."""
    policy = Policy()
    source = open_source(path)
    routes = [choose_route(source.features(n), policy.triage) for n in range(1, source.page_count + 1)]
    source.close()
    return len(routes) if set(routes) == {"text_layer"} else 0


def write_pdf(path: Path, pages: int, seed: int) -> Path:
    """A document of headings and paragraphs, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311
    with pymupdf.open() as document:
        for number in range(1, pages + 1):
            page = document.new_page()
            page.insert_text((60, 70), f"{number}. {' '.join(chance.sample(WORDS, 3)).capitalize()}", fontsize=15, fontname="hebo")
            for n in range(5):
                text = " ".join(chance.choices(WORDS, k=60)).capitalize() + "."
                page.insert_textbox((60, 95 + 120 * n, 535, 210 + 120 * n), text, fontsize=11)
        document.save(path)
    return path


if __name__ == "__main__":
    main()
