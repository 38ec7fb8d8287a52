"""Kills, stops, hangs and freezes a GPU worker and its server at random, over a stream of pages, and sees that none is lost and none done twice.

`python -m tests.gpu.kills --kills 200 --seed 7`: real processes, moto, llama.cpp's server. It prints what was done and what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from escriba.aws.clients import client
from escriba.conservation import conservation_violation
from escriba.memory.meter import MemoryMeter
from escriba.topology import TOPOLOGY
from gpu_service.settings import ServiceSettings
from gpu_service.vllm_server import Patience, VllmServer
from tests.engines.servers import KEY, free_port
from tests.gpu.world import Running, World, worker, world

VISIBILITY, STOP, SLACK = 4.0, 3.0, 8.0  # seconds; the slack is Python's own way out, on a busy machine
PAGES, STREAM = 6, 12  # a document's; those that wait at least
_QUICK = Patience(look=0.25, answer=1.0, start=60.0, misses=3, pause=0.1)
_END = 180.0
ACTIONS = {"kill worker": 4, "stop worker": 3, "kill server": 2, "hang server": 1, "let visibility expire": 1}
"""What is done, and how often beside the others."""


@dataclass
class Campaign:
    """One run: what it breaks, and what it counts."""

    made: World
    server: VllmServer
    address: str
    chance: random.Random
    log: Path
    done: Counter[str] = field(default_factory=Counter)
    drains: list[float] = field(default_factory=list)
    workers: list[Running] = field(default_factory=list)

    def run(self, actions: Sequence[str]) -> None:
        """Break one thing after the other while there is work, then let it be."""
        self._start()
        for n, action in enumerate(actions):
            self._feed()
            self._await_work()
            time.sleep(self.chance.uniform(0, 1.5))
            getattr(self, action.replace(" ", "_"))()
            self.done[action] += 1
            if n % 10 == 9:
                print(f"{n + 1:4} broken, {self.made.waiting()} of {PAGES * len(self.made.documents)} pages wait", flush=True)
        self._await_the_end()

    def kill_worker(self) -> None:
        self.workers.pop().kill()
        self._start()

    def stop_worker(self) -> None:
        leaving = self.workers.pop()
        leaving.leave()
        began = time.monotonic()
        # One that is still being loaded has nothing in hand, and does as every process does.
        assert leaving.process.wait(60) in {0, -signal.SIGTERM}, leaving.log.read_text()[-2000:]
        self.drains.append(time.monotonic() - began)
        self._start()

    def kill_server(self) -> None:
        if self.server.pid:
            os.killpg(self.server.pid, signal.SIGKILL)

    def hang_server(self) -> None:
        if self.server.pid:
            os.killpg(self.server.pid, signal.SIGSTOP)

    def let_visibility_expire(self) -> None:
        """The worker stands still for longer than its messages are hidden, while another takes them; then it goes on as if nothing had been."""
        [frozen] = self.workers
        os.killpg(frozen.process.pid, signal.SIGSTOP)
        other = self._start()
        time.sleep(VISIBILITY + self.chance.uniform(1, 3))
        os.killpg(frozen.process.pid, signal.SIGCONT)
        time.sleep(self.chance.uniform(0, 1))
        self.workers.remove(other)
        other.kill()

    def _start(self) -> Running:
        settings = ServiceSettings(
            server=self.address,
            at_once=2,
            at_once_most=4,
            ahead=2,
            readers=1,
            front_port=0,
            poll=1,
            visibility=VISIBILITY,
            stop_seconds=STOP,
        )
        self.workers.append(worker(self.made, settings, log=self.log, covered=False))
        return self.workers[-1]

    def _await_work(self) -> None:
        """Until somebody has a page in hand that was in nobody's: what does nothing is no good to be killed."""
        before, end = self.made.waiting(), time.monotonic() + 20
        while time.monotonic() < end and self.made.waiting() >= before > 0:
            time.sleep(0.1)

    def _feed(self) -> None:
        for _ in range(STREAM // PAGES):  # a worker may read as fast as they are put
            if self.made.waiting() < STREAM:
                self.made.put_hard_pages(PAGES)

    def _await_the_end(self) -> None:
        end = time.monotonic() + _END
        while self.made.waiting() and time.monotonic() < end:
            time.sleep(0.5)
        while self.made.ports.queues["vision"].depth().total and time.monotonic() < end:
            time.sleep(0.5)

    def verdict(self) -> list[str]:
        """What is wrong; nothing, one hopes."""
        wrong = []
        for identity in self.made.documents:
            document, rows = self.made.ports.ledger.document(identity), self.made.rows(identity)
            if document.waiting or len(rows) != PAGES or any(row.state not in {"DONE", "DEGRADED"} for row in rows):
                wrong.append(f"{identity[-4:]}: {[row.state for row in rows]}")
            if violation := conservation_violation(document, rows):
                wrong.append(f"{identity[-4:]}: {violation}")
        self.made.assemble()
        for identity in self.made.documents:
            document = self.made.ports.ledger.document(identity)
            outputs = json.loads(self.made.ports.results.get(f"{document.output_prefix}document.json"))
            if [page["number"] for page in outputs["pages"]] != list(range(1, PAGES + 1)):
                wrong.append(f"{identity[-4:]}: the output's pages are {[page['number'] for page in outputs['pages']]}")
        left = {name: self.made.ports.queues[name].depth().total for name in ("vision", "vision-dlq")}
        wrong += [f"{messages} messages are left in {name}" for name, messages in left.items() if messages]
        if late := [seconds for seconds in self.drains if seconds > STOP + SLACK]:
            wrong.append(f"drains took {late} s")
        return wrong

    def receives(self) -> int:
        """The most often that one message was received, by what the workers say."""
        lines = [json.loads(line) for line in Path(self.made.settings.telemetry_file).read_text().splitlines() if '"receives"' in line]
        return max((line["receives"] for line in lines), default=1)


def at_random(kills: int, seed: int) -> list[str]:
    """So many ways to break something."""
    return random.Random(seed).choices(list(ACTIONS), list(ACTIONS.values()), k=kills)


def campaign(actions: Sequence[str], seed: int, directory: Path) -> tuple[Campaign, list[str]]:
    """Break things in this order; the campaign, and what is wrong."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.engines.llama_server", str(port), KEY, "stay"]
    with (directory / "llama.log").open("wb") as log, world(directory, f"{address}/v1", visibility=VISIBILITY, key_secret="gpu") as made:
        client("secretsmanager").create_secret(Name="gpu", SecretString=KEY)
        server = VllmServer(address, MemoryMeter(), command=command, log=log, patience=_QUICK)
        run = Campaign(made, server, address, random.Random(seed), directory / "worker.log")
        server.start()
        try:
            run.run(actions)
            return run, run.verdict()
        finally:
            for running in run.workers:
                running.kill()
            server.stop()


def main() -> None:
    """Run a campaign and print what came of it."""
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=random.randrange(10_000))
    given = options.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="escriba-kills-") as directory:
        run, wrong = campaign(at_random(given.kills, given.seed), given.seed, Path(directory))
        limit = TOPOLOGY.queue("vision").max_receives
        print(f"seed {given.seed}: {dict(run.done)} over {PAGES * len(run.made.documents)} pages in {time.monotonic() - began:.0f} s")
        print(f"longest drain {max(run.drains, default=0):.1f} s of {STOP:g}; most receives of one message {run.receives()} of {limit}")
        print("\n".join(wrong) or "every page ended once, and stands once in its document")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
