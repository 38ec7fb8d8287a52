"""`make bench-corpus`: the whole pipeline over folders of real documents, every end named, scored against their truth where there is one."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import DATA, ROOT, row

FOLDERS = ("scans", "born_digital")
SUFFIXES = {".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff"}


def main() -> int:
    """Print the table; 1 when a document did not end DONE."""
    if not DATA.exists():
        print(f"Skipped: the development documents are absent ({DATA.parent.name}/{DATA.name} beside the checkout).")
        return 0
    sys.path.insert(0, str(DATA.parent / "tools"))
    ends: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for folder in FOLDERS:
            files = [path for path in sorted((DATA / folder).iterdir()) if path.suffix.lower() in SUFFIXES]
            out = Path(name) / folder
            print(f"\n{folder}: {len(files)} documents", flush=True)
            ends += read(files, out)
        scans(Path(name) / "scans")
        born_digital(Path(name))
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


def scans(outputs: Path) -> None:
    """Character error rate and word F1 of the page images, by kind, over all and over the half that is never tuned on."""
    import score_scans  # noqa: PLC0415  (stands beside the documents)

    print("\nScans against their truth (macro averages; the reporting half in brackets)")
    row("", "pages", "CER %", "word F1 %")
    for label, rows in score_scans.groups(score_scans.score_folder(DATA / "scans", outputs)):
        half = [r for r in rows if reports(r["name"])]
        percent = [[{key: 100 * min(r[key], 1.0) for key in ("cer", "f1")} for r in part] for part in (rows, half)]
        row(label, f"{len(rows)} ({len(half)})", *(f"{mean(percent[0], key, 1)} ({mean(percent[1], key, 1)})" for key in ("cer", "f1")))


def born_digital(directory: Path) -> None:
    """Word F1 and order of the digital documents, beside kreuzberg's."""
    import score_text  # noqa: PLC0415

    print("\nBorn-digital documents with truth, image-only ones apart (the reporting half in brackets)")
    row("", "documents", "word F1", "order")
    readers = {"escriba": directory / "born_digital"}
    if importlib.util.find_spec("kreuzberg"):
        readers["kreuzberg"] = kreuzberg(directory / "kreuzberg")
    for name, outputs in readers.items():
        rows = [r for r in score_text.score(DATA / "born_digital", outputs)[0] if r["group"] != "image-only"]
        half = [r for r in rows if reports(r["name"])]
        cells = [f"{mean(rows, key, 3)} ({mean(half, key, 3)})" for key in ("f1", "order")]
        row(name, f"{len(rows)} ({len(half)})", *cells)


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


def reports(name: str) -> bool:
    """Whether a document belongs to the reporting half: an odd SHA-256 of its name."""
    return hashlib.sha256(name.encode()).digest()[-1] % 2 == 1


def mean(rows: list[dict[str, Any]], key: str, digits: int) -> str:
    """Mean over documents, "-" over none."""
    return f"{sum(r[key] for r in rows) / len(rows):.{digits}f}" if rows else "-"


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
