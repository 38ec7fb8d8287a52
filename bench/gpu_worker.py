"""`make bench-gpu-worker`: pages through SQS and the GPU service's worker beside the same requests sent straight to the same real vLLM, what a page costs the worker, and its front under more load than it can take."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.closed_loop import Loop, closed_loop
from bench.counting_server import counting_server
from bench.front_run import AT_ONCE as FRONT_AT_ONCE
from bench.front_run import LINE, Account, front_run
from bench.hard_pages import HEIGHT, MODEL, TOKENS, WIDTH, a_page
from bench.measure import row
from bench.noise import Others, end_in_order, load, machine
from bench.server_counts import Counts
from bench.vllm_process import ON_CPU, Vllm
from bench.worker_run import NOWHERE, Costs, against_stand_in, metered_worker, settings
from gpu_service.vllm_server import Tuning
from tests.engines.servers import Server
from tests.gpu.world import World, world
from tests.vllm.server import PYTHON

LEAST_SHARE = 0.85
TARGET_CPU = 6.0  # milliseconds a page
SEQUENCES, AT_ONCE = 8, 10  # in the server's batch; asked at once, so that it never waits for the next
PICTURES = 4
SHAPE = "cpu-deep"
_VISIBILITY = 120.0


@dataclass(frozen=True)
class Plan:
    """How much is measured: pages against the stand-in, pages of one leg against vLLM, rounds of two legs, requests of `vllm bench serve`, seconds of the front."""

    quick: int = 120
    leg: int = 32
    rounds: int = 2
    serve: int = 20
    front: float = 15.0


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 when a must is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=Plan.leg, help="pages of one leg against vLLM")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    given = parser.parse_args(argv)
    end_in_order()
    if not PYTHON.exists():
        print("There is no .venv-vllm; make bench-gpu-worker makes it.")
        return 1
    began = time.monotonic()
    print(f"{machine()}; load {load()} before this began")
    with tempfile.TemporaryDirectory(prefix="bench-gpu-worker-") as name:
        wrong = measure(Path(name), Plan(leg=given.pages, rounds=given.rounds))
    print(f"\n{time.monotonic() - began:.0f} s in all; load {load()}")
    for sentence in wrong:
        print(f"MISSED: {sentence}")
    return int(bool(wrong))


def measure(directory: Path, plan: Plan) -> list[str]:
    """The whole, printed as it goes; a sentence for each must that is missed."""
    pictures = [a_page(n) for n in range(PICTURES)]
    with world(directory, NOWHERE, visibility=_VISIBILITY) as made:
        quick, bodies = against_stand_in(made, directory, pictures, plan.quick, AT_ONCE)
        with counting_server(directory, 0.4) as behind:
            others = Others()
            account = front_run(made, behind, directory, seconds=plan.front)
            _print_front(account, others)
        vllm, model = Vllm(), directory / "model"
        vllm.make_model(model, SHAPE)
        with vllm.served(model, Tuning(max_num_seqs=SEQUENCES, more=ON_CPU), directory / "vllm.log") as server:
            compared = _Compared(made, server, directory, pictures, bodies)
            compared.run(plan)
            served = vllm.bench_serve(server, model, plan.serve, AT_ONCE, directory / "serve.json")
    compared.show(served)
    _print_costs(quick, compared.costs)
    return [*account.wrong, *compared.wrong]


class _Compared:
    """Legs of the closed loop and of the worker in turn, against one server."""

    def __init__(self, made: World, server: Server, directory: Path, pictures: Sequence[bytes], bodies: Sequence[bytes]) -> None:
        self._made, self._server, self._directory, self._pictures, self._bodies = made, server, directory, pictures, bodies
        self.loops: list[Loop] = []
        self.costs: list[Costs] = []
        self.wrong: list[str] = []

    def run(self, plan: Plan) -> None:
        """Straight, worker, straight, worker, ..."""
        print(
            f"\nvLLM on the CPU: model {MODEL}'s flags, shape `{SHAPE}` of bench/served_model.py, {SEQUENCES} sequences, {AT_ONCE} asked at once,"
        )
        print(f"pictures of {WIDTH} x {HEIGHT}, {TOKENS} tokens an answer; {plan.leg} pages a leg")
        row("leg", "pages/s", "seconds", "tokens in", "tokens out", "others' cores")
        closed_loop(self._server.address, self._bodies, AT_ONCE, AT_ONCE)
        with metered_worker(self._made, self._server.address, settings(self._server.address, AT_ONCE), self._directory) as worker:
            worker.read(self._made, PICTURES, self._pictures)
            for _ in range(plan.rounds):
                with _Leg(self._server, plan.leg, self.wrong) as leg:
                    self.loops.append(closed_loop(self._server.address, self._bodies, plan.leg, AT_ONCE))
                leg.show("straight to the server", self.loops[-1].seconds)
                with _Leg(self._server, plan.leg, self.wrong) as leg:
                    self.costs.append(worker.read(self._made, plan.leg, self._pictures))
                leg.show("SQS + worker", self.costs[-1].seconds)

    def show(self, served: dict[str, float]) -> None:
        """All legs together, and what vLLM's own bench found."""
        straight = sum(loop.answers for loop in self.loops) / sum(loop.seconds for loop in self.loops)
        through = sum(cost.pages for cost in self.costs) / sum(cost.seconds for cost in self.costs)
        share = through / straight
        row("vllm bench serve (random-mm)", f"{served['request_throughput']:.3f}", f"{served['duration']:.1f}", "", f"{TOKENS}")
        print(f"  straight {straight:.3f}, worker {through:.3f} pages/s: {share:.1%} of the closed loop (must: at least {LEAST_SHARE:.0%})")
        if share < LEAST_SHARE:
            self.wrong.append(f"through SQS and the worker {share:.1%} of the closed loop's pages/s, not {LEAST_SHARE:.0%}")


class _Leg:
    """What the server itself counted meanwhile: as many answers as pages, every one of the same length."""

    def __init__(self, server: Server, pages: int, wrong: list[str]) -> None:
        self._server, self._pages, self._wrong = server, pages, wrong

    def __enter__(self) -> Self:
        self._others, self._before = Others(), Counts.of(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._counts = Counts.of(self._server).since(self._before)
        self._cores = self._others.cores()
        answers, told = self._counts.answers, self._counts.told
        if answers != self._pages or told != self._pages * TOKENS:
            self._wrong.append(f"a leg of {self._pages} pages made the server give {answers:.0f} answers of {told:.0f} tokens in all")

    def show(self, name: str, seconds: float) -> None:
        tokens = (f"{count / self._pages:.0f}" for count in (self._counts.asked, self._counts.told))
        row(name, f"{self._pages / seconds:.3f}", f"{seconds:.1f}", *tokens, f"{self._cores:.2f}")


def _print_costs(quick: Costs, slow: Sequence[Costs]) -> None:
    pages, seconds = sum(cost.pages for cost in slow), sum(cost.seconds for cost in slow)
    print("\nCPU of the worker's own process for a page, milliseconds; rendering is done in other processes")
    row("", f"at {quick.rate:.1f}/s", f"at {pages / seconds:.2f}/s")
    for part in quick.parts:
        row(part, f"{quick.each(part):.2f}", f"{1000 * sum(cost.parts[part] for cost in slow) / pages:.2f}")
    row("watch over the server", f"{1000 * quick.watch / quick.pages:.2f}", f"{1000 * sum(cost.watch for cost in slow) / pages:.2f}")
    row("all", f"{quick.page:.2f}", f"{1000 * sum(cost.whole for cost in slow) / pages:.2f}")
    row("requests to AWS", f"{quick.requests / quick.pages:.2f}", f"{sum(cost.requests for cost in slow) / pages:.2f}")
    verdict = "met" if quick.page <= TARGET_CPU else "missed"
    print(
        f"  (target: {TARGET_CPU:g} ms, {verdict} where the stand-in answers; the watch costs a second the same, however many pages it brings)"
    )


def _print_front(account: Account, others: Others) -> None:
    told = account.told
    print(
        f"\nThe front offered {told['offered'] / told['seconds']:.0f} requests/s for {told['seconds']:.0f} s, {account.pages} pages in the same line;"
    )
    print(f"{FRONT_AT_ONCE} asked at once, {LINE} in line; the stand-in answers in 0.4 s")
    row("", "requests", "p50, ms", "p99, ms")
    for which in ("accepted", "shed"):
        row(which, str(len(told[which])), f"{account.latency(which, 0.5):.0f}", f"{account.latency(which, 0.99):.0f}")
    print(
        f"  memory {account.before:.0f} MiB before, {account.peak:.0f} MiB at most; the sender was {1000 * told['latest_start']:.0f} ms late at worst"
    )
    print(
        f"  every request one answer, every accepted one at the server once: {'no' if account.wrong else 'yes'}; others' cores {others.cores():.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
