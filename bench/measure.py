"""Runs a command and says what it cost: wall and CPU seconds, and the memory of its whole family of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("ESCRIBA_BENCH_DATA", ROOT.parent / "shared" / "data"))
"""Documents to measure on; where they are absent the benches say so and take examples/."""
_LOOK = 0.1  # seconds between looks at the memory


@dataclass(frozen=True)
class Cost:
    """Seconds and MiB; `peak` is the largest sum over the command's processes at one moment, `largest` its largest single one."""

    wall: float
    cpu: float
    peak: float
    largest: float

    def less(self, start: Cost) -> Cost:
        """What is left of the time once a bare start is taken off."""
        return Cost(self.wall - start.wall, self.cpu - start.cpu, self.peak, self.largest)


def measured(command: Sequence[str | Path], *, check: bool = True) -> Cost:
    """Run a command to its end, children and all. Raises SystemExit with what it wrote when it fails and `check` is set."""
    began = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = largest = 0.0
    family = psutil.Process(process.pid)
    while True:
        # Children that were waited for count in their parent's times.
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        sizes = _sizes(family)
        peak, largest = max(peak, sum(sizes)), max(largest, *sizes)
        time.sleep(_LOOK)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None  # noqa: S101  (opened with a pipe)
    said = process.stderr.read().decode("utf-8", "replace")
    if check and process.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{said}")
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, peak / 2**20, largest / 2**20)


def _sizes(family: psutil.Process) -> list[int]:
    try:
        return [process.memory_info().rss for process in [family, *family.children(recursive=True)]]
    except psutil.Error:
        return [0]  # one of them has just ended


def escriba_run(paths: Sequence[Path], out: Path, *options: str) -> list[str | Path]:
    """The command that reads files with the whole pipeline, one worker, no report."""
    return [sys.executable, "-m", "escriba", "run", *paths, "--out", out, "--workers", "1", "--no-report", "--json", *options]


def row(label: str, *cells: str) -> None:
    """One line of a table."""
    print(f"  {label[:40]:<40}" + "".join(f"{cell:>14}" for cell in cells))
