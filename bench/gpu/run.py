"""`python -m bench.gpu.run`: what a GPU reads a second under every setting of the sweep, and how much of that the worker keeps up with.

On a machine with a GPU: `python -m bench.gpu.run --site SITE --model MODEL` with what `bench.gpu.prepare` packed. `--dry` goes through the same steps with the
small model on the CPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.closed_loop import closed_loop
from bench.gpu.report import Measured, Report
from bench.gpu.sweep import DRY, Setting, Sweep
from bench.hard_pages import HEIGHT, WIDTH, a_page, requests
from bench.noise import end_in_order, load, machine
from bench.server_counts import Counts
from bench.vllm_process import Vllm, kv_cache
from bench.worker_run import NOWHERE, against_stand_in, metered_worker, settings
from tests.engines.servers import ROOT, Server
from tests.gpu.world import World, world
from tests.vllm.server import PYTHON

PICTURES = 4
_START = 420.0  # seconds that a server may take
_MORE = 1.25  # questions asked at once, of the sequences in a batch: it never waits for the next


@dataclass(frozen=True)
class Machine:
    """Where vLLM runs and with what model; `until` is when no further server is started, on the monotonic clock."""

    vllm: Vllm
    model: Path
    dry: bool
    until: float


def main(argv: Sequence[str] | None = None) -> int:
    """Write report.md and report.json into OUT; 1 when nothing could be measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, help="folder that bench.served_model made; none: it is made here")
    parser.add_argument("--site", type=Path, help="folder with vLLM's packages; none: those of the interpreter")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="interpreter that runs vLLM")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gpu")
    parser.add_argument("--minutes", type=float, default=9.0, help="after so long no further server is started")
    parser.add_argument("--worker-pages", type=int, default=600, help="pages of one leg of the worker")
    parser.add_argument("--dry", action="store_true", help="the small model on the CPU, in .venv-vllm")
    given = parser.parse_args(argv)
    end_in_order()
    sweep = DRY if given.dry else Sweep()
    vllm = Vllm(PYTHON) if given.dry else Vllm(given.python, _environment(given.site))
    report = Report(machine(), "no GPU" if given.dry else _gpu(), _version(vllm), given.dry)
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as name:
        folder = given.model or Path(name) / "model"
        if given.model is None:
            vllm.make_model(folder, "cpu" if given.dry else "qwen2.5-vl-7b")
        here = Machine(vllm, folder, given.dry, time.monotonic() + 60 * given.minutes)
        run(here, sweep, 20 if given.dry else given.worker_pages, report, Path(name), given.out)
    report.write(given.out)
    print(report.markdown())
    return int(not report.rows)


def run(here: Machine, sweep: Sweep, pages: int, report: Report, directory: Path, out: Path) -> None:
    """Every setting, the worker beside the first; the report is written after each."""
    pictures = [a_page(n) for n in range(PICTURES)]
    asked = {side: requests(pictures, side) for side in sweep.sides}
    for number, setting in enumerate(sweep.settings()):
        if time.monotonic() > here.until:
            report.notes.append(f"Not measured, for want of time: {setting}.")
            continue
        log, began = directory / f"vllm-{number}.log", time.monotonic()
        try:
            with here.vllm.served(here.model, setting.tuning(dry=here.dry), log, seconds=_START) as server:
                started = time.monotonic() - began
                print(f"{setting}: ready after {started:.0f} s; load {load()}", flush=True)
                for side, bodies in asked.items():
                    report.rows.append(
                        replace(_measured(server, setting, bodies, sweep.rounds, log), pixels=_size(side), start_seconds=started)
                    )
                    print(f"  {_size(side)}: {report.rows[-1].pages_per_second:.2f} pages/s", flush=True)
                    report.write(out)
                if not report.worker:
                    report.worker = _beside(server, setting, pages, pictures, directory)
        except (AssertionError, RuntimeError) as error:
            report.notes.append(f"Failed: {setting}: {str(error)[-400:]}")
        report.write(out)
        (out / log.name).write_bytes(log.read_bytes() if log.exists() else b"")


def _measured(server: Server, setting: Setting, bodies: Sequence[bytes], rounds: float, log: Path) -> Measured:
    at_once = round(setting.sequences * _MORE)
    closed_loop(server.address, bodies, min(at_once, 16), at_once)  # whatever it compiles or caches for these sizes
    before = Counts.of(server)
    loop = closed_loop(server.address, bodies, round(setting.sequences * rounds), at_once)
    counts, (tokens, most) = Counts.of(server).since(before), kv_cache(log)
    return Measured(
        setting.sequences, setting.batched_tokens, setting.fp8, "", loop.answers, loop.rate, counts.asked / loop.answers,
        counts.told / loop.answers, tokens, most, round(counts.preempted), 0.0,
    )  # fmt: skip


def _beside(server: Server, setting: Setting, pages: int, pictures: Sequence[bytes], directory: Path) -> dict[str, float]:
    """The worker's pages a second and the closed loop's, straight and through in turn, against one server."""
    at_once = round(setting.sequences * _MORE)
    readers = max(2, (os.cpu_count() or 2) // 2)
    with world(directory, NOWHERE) as made:
        _, bodies = against_stand_in(made, directory, pictures, 2 * PICTURES, 8)
        return _legs(made, server, bodies, pictures, directory, pages=pages, at_once=at_once, readers=readers)


def _legs(
    made: World,
    server: Server,
    bodies: Sequence[bytes],
    pictures: Sequence[bytes],
    directory: Path,
    *,
    pages: int,
    at_once: int,
    readers: int,
) -> dict[str, float]:
    seconds = {"straight": 0.0, "worker": 0.0}
    cpu = 0.0
    chosen = settings(server.address, at_once, readers=readers, ahead=max(4, at_once // 4))
    with metered_worker(made, server.address, chosen, directory) as worker:
        worker.read(made, 2 * readers, pictures)
        for _ in range(2):
            seconds["straight"] += closed_loop(server.address, bodies, pages, at_once).seconds
            found = worker.read(made, pages, pictures)
            seconds["worker"] += found.seconds
            cpu += found.page / 2
    rates = {name: 2 * pages / spent for name, spent in seconds.items()}
    return {**rates, "share": rates["worker"] / rates["straight"], "cpu_ms": cpu}


def _size(side: int) -> str:
    return f"{round(side * WIDTH / HEIGHT)} x {side}"


def _environment(site: Path | None) -> dict[str, str]:
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return quiet | ({"PYTHONPATH": str(site.resolve())} if site else {})


def _gpu() -> str:
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        sys.exit("There is no GPU here (nvidia-smi says nothing); --dry goes through the same steps on the CPU.")


def _version(vllm: Vllm) -> str:
    asked = [str(vllm.python), "-c", "import vllm; print(vllm.__version__)"]
    done = subprocess.run(asked, env=vllm.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("vLLM cannot be imported: " + (done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
