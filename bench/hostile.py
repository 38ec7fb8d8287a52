"""`make bench-hostile`: every hostile file ends with a state and a reason, in time and in little memory."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.measure import DATA, ROOT, row

_SECONDS, _MEBIBYTES = 120, 2048


def main() -> int:
    """Print the table; 1 when a file crashed, hung, took too much, or ended without a reason."""
    if not DATA.exists():
        print("Skipped: the development documents are absent.")
        return 0
    notes = {
        Path(r["path"]).name: r["note"] for r in csv.DictReader((DATA / "manifest.csv").open(encoding="utf-8")) if "hostile/" in r["path"]
    }
    row("file", "state", "pages", "seconds", "MiB")
    ends = [read(DATA / "hostile" / name, note) for name, note in sorted(notes.items())]
    openable = [end for end in ends if "opens" in end["note"] and "fails" not in end["note"] and "0 pages" not in end["note"]]
    encrypted = [end for end in ends if "verified" in end["note"]]
    print(f"\n{len(ends)} files; of the {len(openable)} openable ones {sum(end['output'] is not None for end in openable)} give output;")
    print(f"of the {len(encrypted)} encrypted ones {sum(end['output'] is not None for end in encrypted)} open with their password")
    bad = [end for end in ends if end["bad"]]
    for end in bad:
        print(f"BAD {end['name']}: {end['bad']}")
    return int(bool(bad))


def read(path: Path, note: str) -> dict[str, Any]:
    """One file through `escriba run` in a process of its own, with its password where the note gives one."""
    verified = re.search(r"verified (.*)$", note)
    passwords = [word.partition("(")[0] for word in re.split(r", ", verified[1])] if verified else []
    options = [option for password in passwords for option in ("--password", password)]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "escriba", "run", path, "--out", out, "--workers", "1", "--json", *options]
        began = time.monotonic()
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        largest = watch(process)
        said, complained = process.communicate()
        seconds = time.monotonic() - began
    end = (
        json.loads(said.splitlines()[-1])
        if said.startswith("{")
        else {"state": "NONE", "pages": 0, "output": None, "reason": complained[-300:]}
    )
    end |= {"name": path.name, "note": note, "bad": ""}
    if end["state"] not in {"DONE", "PARTIAL", "REJECTED"} or process.returncode not in {0, 1}:
        end["bad"] = f"ended with {process.returncode}: {end['reason']}"
    elif "Traceback" in complained or "failed inside" in end["reason"] or (end["state"] != "DONE" and not end["reason"]):
        end["bad"] = f"an internal error shows: {end['reason'] or complained[-300:]}"
    elif seconds > _SECONDS or largest > _MEBIBYTES:
        end["bad"] = "too slow or too large"
    row(path.name, end["state"], str(end["pages"]), f"{seconds:.1f}", f"{largest:.0f}")
    if end["reason"]:
        print(f"      {end['reason'][:160]}")
    return end


def watch(process: subprocess.Popen[str]) -> float:
    """Wait for the end, at most the time allowed; the largest resident size of any process of the family, in MiB."""
    largest, began, family = 0.0, time.monotonic(), psutil.Process(process.pid)
    while process.poll() is None:
        if time.monotonic() - began > _SECONDS + 10:
            process.kill()
        try:
            largest = max(largest, *(p.memory_info().rss / 2**20 for p in [family, *family.children(recursive=True)]), 0.0)
        except psutil.Error:
            continue
        time.sleep(0.05)
    return largest


if __name__ == "__main__":
    sys.exit(main())
