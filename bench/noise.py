"""Says on what machine something was measured, and how much of it others were using meanwhile; and leaves nothing behind on it."""

from __future__ import annotations

import os
import platform
import signal
import sys
from pathlib import Path

import psutil


def machine() -> str:
    """Processor, cores, memory, Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = psutil.virtual_memory().total / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}"


def end_in_order() -> None:
    """Have SIGTERM end this process as Ctrl-C does: by way of whatever ends the processes that it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def load() -> str:
    """The load averages, ours included."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


class Others:
    """Cores that processes other than this one and its children kept busy, on average, since the start."""

    def __init__(self) -> None:
        self._busy, self._ours = _busy(), _ours()
        self._total = sum(psutil.cpu_times())

    def cores(self) -> float:
        """So far. What children that have ended used counts as ours once they were waited for."""
        passed = (sum(psutil.cpu_times()) - self._total) / (os.cpu_count() or 1)
        return max(0.0, (_busy() - self._busy - (_ours() - self._ours)) / passed) if passed else 0.0


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))


def _ours() -> float:
    me = psutil.Process()
    spent = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            spent += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue
    return spent
