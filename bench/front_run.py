"""Offers the served endpoint of the GPU service's own main 1,000 requests a second while pages wait in its queue, and accounts for every one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.front_load import share
from bench.hard_pages import MODEL, put_unsent, send, wait_until_read
from bench.worker_run import settings
from escriba.backends import OURS, Backend
from tests.engines.servers import HERE, ROOT, Server, free_port
from tests.gpu.world import World, a_scan, worker

AT_ONCE, LINE = 32, 64  # asked at once; waiting for their turn
_GROWTH = 64.0  # MiB: more than so many requests held whole, and pages beside them, can take
_START = 60.0


@dataclass
class Account:
    """What was offered and how it ended, what the server behind saw, and the worker's memory in MiB. `wrong` has one sentence for each fault."""

    told: dict[str, Any]
    came: Counter[str]
    before: float
    peak: float
    pages: int
    wrong: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing lost, nothing twice, memory bounded."""
        told, ids = self.told, set(self.told["accepted_ids"])
        answers = len(told["accepted"]) + len(told["shed"])
        if answers != told["offered"]:
            self.wrong.append(
                f"{told['offered'] - answers} of {told['offered']} requests had neither an answer nor a 429 with Retry-After: {told['ends']}"
            )
        direct = Counter({name: times for name, times in self.came.items() if name})
        if set(direct) != ids or any(times != 1 for times in direct.values()):
            twice = sum(times > 1 for times in direct.values())
            self.wrong.append(f"{len(ids)} were accepted, but {len(direct)} came to the server, {twice} of them more than once")
        if not told["accepted"]:
            self.wrong.append("nothing was accepted")
        if self.peak - self.before > _GROWTH:
            self.wrong.append(f"the worker's memory grew by {self.peak - self.before:.0f} MiB, more than {_GROWTH:.0f}")

    def latency(self, which: str, part: float) -> float:
        """Milliseconds."""
        return 1000 * share(self.told[which], part)


def got(url: str) -> Any:
    """The JSON behind one of our own addresses."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (our own address)
        return json.load(answer)


def front_run(made: World, server: Server, directory: Path, *, rate: float = 1000, seconds: float = 15, pages: int = 20) -> Account:
    """Start the service's main with its front before `server`, overload it, have the pages read, and end it."""
    port = free_port()
    chosen = settings(server.address, AT_ONCE, front_port=port, line=LINE)
    backend = Backend(name="gpu", base_url=server.base_url, model=MODEL, served_as=MODEL, queue=OURS, external=False)
    told = {**made.environment, **made.settings.model_copy(update={"backends": (backend,)}).to_env()}
    plain, made.environment = made.environment, told
    try:
        running = worker(made, chosen, log=directory / "front.log")
    finally:
        made.environment = plain
    try:
        _wait(f"http://{HERE}:{port}/health")
        if pages:
            _send_pages(made, pages)
            wait_until_read(made, 120)  # so that everything is loaded before memory is looked at
            _send_pages(made, pages)
        before = _memory(running.process.pid, "VmRSS")
        command = [sys.executable, "-m", "bench.front_load", f"http://{HERE}:{port}", "--rate", str(rate), "--seconds", str(seconds)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 120, check=False)
        if done.returncode:
            raise RuntimeError("the load could not be sent:\n" + done.stderr[-2000:])
        if pages:
            wait_until_read(made, 120)
        account = Account(
            json.loads(done.stdout), Counter(got(f"{server.address}/counts")["came"]), before, _memory(running.process.pid, "VmHWM"), pages
        )
        running.leave()
        running.process.wait(30)
    finally:
        running.kill()
    account.check()
    return account


def _send_pages(made: World, pages: int) -> None:
    send(made, put_unsent(made, pages, [a_scan()]))


def _wait(url: str) -> None:
    end = time.monotonic() + _START
    while True:
        try:
            got(url)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _memory(pid: int, what: str) -> float:
    """MiB; VmHWM is the most that it ever was."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) / 1024
