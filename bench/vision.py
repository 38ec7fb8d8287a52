"""`make bench-vision`: the scans with no vision model, with one that is gone, and with one that lies: how each page ends, and how long it waited."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.measure import DATA, ROOT, row
from escriba.evaluation.truth_server import truth_server
from escriba.policy import Policy

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
GONE = "http://127.0.0.1:9/v1"
LIE = (
    "Ao abrigo do disposto no artigo 12, o montante de 98.765,43 EUR foi pago em 31/12/1999 a quem de direito, sem que ninguém o tivesse "
    "visto ou assinado, como consta do registo 4455-6677 da conservatória.\n\nThe quick brown fox jumps over the lazy dog, again and again."
)
_PATIENCE = Policy().vision.deadline_seconds


class Lies(Mapping[str, str]):
    """The same answer for every image."""

    def __getitem__(self, key: str) -> str:
        return LIE

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def main() -> int:
    """Print the table; 1 when a page ended otherwise than DONE or DEGRADED, or waited longer than the policy's patience."""
    if not DATA.exists():
        print(f"Skipped: the development documents are absent ({DATA.parent.name}/{DATA.name} beside the checkout).")
        return 0
    files = [path for path in sorted((DATA / "scans").iterdir()) if path.suffix.lower() in SUFFIXES]
    print(f"{len(files)} scans; patience {_PATIENCE:g} s")
    row("vision", "pages", "DONE", "DEGRADED", "others", "believed", "escalated", "longest wait, s")
    wrong = False
    with tempfile.TemporaryDirectory() as name, truth_server(Lies()) as liar:
        policy = Path(name) / "policy.toml"
        policy.write_text("[limits]\npage_seconds = 120\n")  # for whoever shares the machine
        for kind, more in (("none", []), ("gone", ["--vision", GONE]), ("liar", ["--vision", liar])):
            wrong |= _run(kind, files, Path(name) / kind, ["--policy", str(policy), *more])
    return int(wrong)


def _run(kind: str, files: list[Path], out: Path, more: list[str]) -> bool:
    command = [sys.executable, "-m", "escriba", "run", *map(str, files), "--out", str(out), "--no-report", "--json", *more]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    pages = [page for path in out.glob("*/document.json") for page in json.loads(path.read_text())["pages"]]
    states = Counter(page["state"] for page in pages)
    believed = sum(page["route"] == "vision" for page in pages)
    waits = [line["seconds"] for line in _log(out) if line.get("message") == "escalated page ended"]
    others = states.total() - states["DONE"] - states["DEGRADED"] + len(files) - len(pages)
    longest = max(waits, default=0.0)
    row(kind, *map(str, (len(pages), states["DONE"], states["DEGRADED"], others, believed, len(waits), longest)))
    return bool(others) or longest > _PATIENCE


def _log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / ".escriba" / "telemetry.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
