"""`make bench-gpu-tuning`: what each setting of docs/performance.md does to a real vLLM on the CPU, one changed at a time.

A small model on two cores: the directions are those of any server, the sizes are not.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.closed_loop import closed_loop
from bench.gpu_worker import AT_ONCE, PICTURES, SEQUENCES
from bench.hard_pages import HEIGHT, WIDTH, a_page, requests
from bench.measure import row
from bench.noise import Others, end_in_order, load, machine
from bench.server_counts import Counts
from bench.vllm_process import ON_CPU, Vllm, kv_cache
from bench.worker_run import NOWHERE, metered_worker, settings
from gpu_service.vllm_server import Tuning
from tests.engines.servers import Server
from tests.gpu.world import world
from tests.vllm.server import PYTHON

USUAL = Tuning(max_num_seqs=SEQUENCES, more=ON_CPU)
PAGES = 20
SMALL_CACHE = 9_000  # tokens: six pages of ours


def main() -> int:
    """Print the table; 1 when there is no vLLM."""
    end_in_order()
    if not PYTHON.exists():
        print("There is no .venv-vllm; make bench-gpu-tuning makes it.")
        return 1
    print(f"{machine()}; load {load()}; {PAGES} pages a row, {SEQUENCES} sequences and {AT_ONCE} asked at once where nothing else is said")
    with tempfile.TemporaryDirectory(prefix="bench-gpu-tuning-") as name:
        Tried(Path(name)).run()
    print(f"load {load()} at the end")
    return 0


class Tried:
    """One server after the other, and a row for each thing that is tried."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._vllm, self._model = directory, Vllm(), directory / "model"
        self._pictures = [a_page(n) for n in range(PICTURES)]
        self._started = 0
        self._vllm.make_model(self._model, "cpu")

    def run(self) -> None:
        """The requests' own settings against one server, then the server's."""
        row("", "pages/s", "tokens in", "tokens out", "preempted", "others' cores")
        usual = requests(self._pictures, HEIGHT)
        with self._served(USUAL) as server:
            self._row("as it is", server, usual)
            for side in (910, 644):
                self._row(f"picture of {round(side * WIDTH / HEIGHT)} x {side}", server, requests(self._pictures, side))
            for tokens in (128, 64):
                self._row(f"answers of {tokens} tokens", server, requests(self._pictures, HEIGHT, tokens))
            for at_once in (1, 4, 16):
                self._row(f"{at_once} asked at once", server, usual, at_once)
            self._worker("worker, told of 16 tokens together", server)
            self._row("as it is, again", server, usual)
        with self._served(replace(USUAL, stream_interval=1)) as server:
            self._worker("worker, told of each token alone", server)
        for batched in (512, 8192):
            with self._served(replace(USUAL, max_num_batched_tokens=batched)) as server:
                self._row(f"{batched} tokens a step", server, usual)
        with self._served(replace(USUAL, more=(*ON_CPU, "--num-gpu-blocks-override", str(SMALL_CACHE // 128)))) as server:
            self._row(f"KV cache of {kv_cache(self._log)[0]:,} tokens", server, usual)

    @property
    def _log(self) -> Path:
        return self._directory / f"vllm-{self._started}.log"

    @contextmanager
    def _served(self, tuning: Tuning) -> Iterator[Server]:
        self._started += 1
        with self._vllm.served(self._model, tuning, self._log) as server:
            closed_loop(server.address, requests(self._pictures, HEIGHT), 2, 2)
            yield server

    def _row(self, name: str, server: Server, bodies: Sequence[bytes], at_once: int = AT_ONCE) -> None:
        others, before = Others(), Counts.of(server)
        loop = closed_loop(server.address, bodies, PAGES, at_once)
        counts = Counts.of(server).since(before)
        self._print(name, loop.rate, counts, others)

    def _worker(self, name: str, server: Server) -> None:
        """The same pages through SQS and the worker, for what listening costs it."""
        self._directory.joinpath(name).mkdir()
        with (
            world(self._directory / name, NOWHERE, visibility=120) as made,
            metered_worker(made, server.address, settings(server.address, AT_ONCE), self._directory / name) as worker,
        ):
            worker.read(made, PICTURES, self._pictures)
            others, before = Others(), Counts.of(server)
            found = worker.read(made, PAGES, self._pictures)
            counts = Counts.of(server).since(before)
        self._print(name, found.rate, counts, others)
        print(f"    its client: {found.each('client'):.1f} ms of CPU a page")

    def _print(self, name: str, rate: float, counts: Counts, others: Others) -> None:
        if counts.answers != PAGES:
            sys.exit(f"{name}: the server counted {counts.answers:.0f} answers for {PAGES} pages")
        tokens = (f"{counts.asked / PAGES:.0f}", f"{counts.told / PAGES:.0f}")
        row(name, f"{rate:.3f}", *tokens, f"{counts.preempted:.0f}", f"{others.cores():.2f}")


if __name__ == "__main__":
    sys.exit(main())
