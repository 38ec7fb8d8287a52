"""`make bench-corpus`: the whole pipeline over folders of real documents, every end named, scored against their truth where there is one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.measure import DATA, ROOT, row
from escriba.evaluation.scores import Scored, score_folder
from escriba.evaluation.summary import SECTIONS, groups
from escriba.evaluation.truths import find_truths

FOLDERS = ("scans", "born_digital")
SUFFIXES = {".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff"}


def main() -> int:
    """Print the table; 1 when a document did not end DONE."""
    if not DATA.exists():
        print(f"Skipped: the development documents are absent ({DATA.parent.name}/{DATA.name} beside the checkout).")
        return 0
    ends: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for folder in FOLDERS:
            files = [path for path in sorted((DATA / folder).iterdir()) if path.suffix.lower() in SUFFIXES]
            out = Path(name) / folder
            print(f"\n{folder}: {len(files)} documents", flush=True)
            ends += read(files, out)
        print("\nAgainst their truth (means over pages in %, every error capped at 100; the reporting half in brackets)")
        score("scans", {"escriba": Path(name) / "scans"})
        readers = {"escriba": Path(name) / "born_digital"}
        if importlib.util.find_spec("kreuzberg"):
            readers["kreuzberg"] = kreuzberg(Path(name) / "kreuzberg")
        score("born_digital", readers)
    print_ends(ends)
    return int(any(end["state"] != "DONE" for end in ends))


def read(files: list[Path], out: Path) -> list[dict[str, Any]]:
    """`escriba run` over the files, a line for each."""
    command = [sys.executable, "-m", "escriba", "run", *files, "--out", out, "--no-report", "--json"]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False, text=True)
    if answer.returncode not in {0, 1}:
        sys.exit(f"escriba run ended with {answer.returncode}")
    ends = [json.loads(line) for line in answer.stdout.splitlines()]
    row("document", "state", "pages", "degraded", "quarantined", "seconds")
    for end in ends:
        cells = (end["state"], end["pages"], end["degraded"], end["quarantined"], end["seconds"])
        row(Path(end["path"]).name, *map(str, cells))
    return ends


def score(folder: str, readers: dict[str, Path]) -> None:
    """Each reader's outputs of a folder, by kind and in total, all and the half that is never tuned on."""
    section = SECTIONS[FOLDERS.index(folder)]
    row(folder, "pages", *(metric.label for metric in section.metrics))
    truths = find_truths(DATA / folder)
    for reader, outputs in readers.items():
        for label, total, rows in groups(section, score_folder(truths, DATA / folder, outputs, reader).rows):
            if len(readers) > 1 and not total:
                continue
            half = [r for r in rows if r.half == "reporting"]
            cells = (f"{mean(rows, metric.of)} ({mean(half, metric.of)})" for metric in section.metrics)
            row(label if len(readers) == 1 else f"{reader}: {label}", f"{len(rows)} ({len(half)})", *cells)


def kreuzberg(outputs: Path) -> Path:
    """The other program's Markdown, without OCR; what it cannot read counts as empty."""
    from kreuzberg import ExtractionConfig, KreuzbergError, extract_file_sync  # noqa: PLC0415

    outputs.mkdir()
    config = ExtractionConfig(output_format="markdown", disable_ocr=True, use_cache=False)
    for path in sorted((DATA / "born_digital").glob("*.pdf")):
        try:
            text = extract_file_sync(str(path), config=config).content
        except KreuzbergError:
            text = ""
        (outputs / f"{path.stem}.md").write_text(text, "utf-8")
    return outputs


def mean(rows: list[Scored], figure: Callable[[Scored], float | None]) -> str:
    """Mean over pages in per cent, "-" over none."""
    return f"{100 * sum(figure(r) or 0.0 for r in rows) / len(rows):.1f}" if rows else "-"


def print_ends(ends: list[dict[str, Any]]) -> None:
    """How many ended how, and the reason of each that did not go well."""
    states = sorted({end["state"] for end in ends})
    print("\n" + ", ".join(f"{state}: {sum(end['state'] == state for end in ends)}" for state in states))
    pages = {key: sum(end[key] for end in ends) for key in ("pages", "done", "degraded", "quarantined")}
    print(", ".join(f"{count} {what}" for what, count in pages.items()))
    for end in ends:
        if end["reason"]:
            print(f"{Path(end['path']).name}: {end['reason']}")


if __name__ == "__main__":
    sys.exit(main())
