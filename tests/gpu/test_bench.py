"""What the benches of the GPU service go by: that they count right, and that the front under more load than it can take loses nothing."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.closed_loop import closed_loop
from bench.counting_server import TOKENS, counting_server, transcript
from bench.front_load import offer, share
from bench.front_run import Account, got
from bench.gpu.prepare import filtered
from bench.gpu.report import Measured, Report
from bench.gpu.sweep import DRY, Sweep
from bench.hard_pages import HEIGHT, POLICY, WIDTH, a_page, requests
from bench.metered_worker import Meters
from bench.worker_run import costs
from escriba.guards.acceptance import judge
from escriba.memory.meter import MemoryMeter
from escriba.models import model, parse
from escriba.vision import Answer, Region
from gpu_service.admission import Admission
from gpu_service.front import Front
from tests.engines.servers import HERE


def test_the_front_under_load_loses_nothing(tmp_path: Path) -> None:
    """300 requests a second where 20 can be answered: each is answered or told to come back, and each that was answered came to the server once."""
    with counting_server(tmp_path, 0.2) as server:
        admission = Admission(4, line=8)
        front = Front(server.address, admission, MemoryMeter(), lambda: True)
        port = front.start(HERE, 0)
        try:
            told = asyncio.run(offer(f"http://{HERE}:{port}", 300, 2.5))
        finally:
            front.stop()
        counts = got(f"{server.address}/counts")
    account = Account(vars(told), Counter(counts["came"]), 0.0, 0.0, 0)
    account.check()
    assert account.wrong == []
    assert told.offered == 750
    assert 12 < len(told.accepted) < 750 - len(told.accepted)
    assert counts["most_at_once"] == 4
    assert share(told.shed, 0.5) < share(told.accepted, 0.5)
    assert admission.inside == admission.waiting == 0


def _told(**changed: Any) -> dict[str, Any]:
    return {"offered": 2, "accepted": [0.1], "shed": [0.1], "accepted_ids": ["r0"], "ends": {}} | changed


@pytest.mark.parametrize(
    ("told", "came", "memory", "sentence"),
    [
        (_told(offered=3), ["r0"], 0, "1 of 3 requests had neither an answer"),
        (_told(), ["r0", "r0"], 0, "1 of them more than once"),
        (_told(), ["r0", "r1"], 0, "1 were accepted, but 2 came"),
        (_told(), [], 0, "1 were accepted, but 0 came"),
        (_told(accepted=[], accepted_ids=[], offered=1), [], 0, "nothing was accepted"),
        (_told(), ["r0"], 500, "memory grew by 500 MiB"),
    ],
)
def test_an_account_that_does_not_add_up_is_seen(told: dict[str, Any], came: list[str], memory: float, sentence: str) -> None:
    """So that the bench can fail."""
    account = Account(told, Counter(came), 0.0, memory, 0)
    account.check()
    assert [sentence in wrong for wrong in account.wrong] == [True]


def test_the_closed_loop_asks_so_many_at_once_and_reads_every_answer(tmp_path: Path) -> None:
    """The bodies in turn, as they are."""
    kept = tmp_path / "kept"
    kept.mkdir()
    bodies = [json.dumps({"stream": True, "n": n}).encode() for n in range(3)]
    with counting_server(tmp_path, 0.1, kept) as server:
        loop = closed_loop(server.address, bodies, 12, 4)
        assert got(f"{server.address}/counts")["most_at_once"] == 4
    assert (loop.answers, loop.shortest, loop.longest) == (12, TOKENS, TOKENS)
    assert 0.3 <= loop.seconds < 3
    assert Counter(path.read_bytes() for path in kept.iterdir()) == dict.fromkeys(bodies, 4)


def test_what_the_stand_in_says_is_believed() -> None:
    """The worker has all of a page's work with it, guards and laying out included."""
    text, asked = "".join(transcript()), model("olmocr-2-7b-fp8")
    parsed = parse(asked.parser, text, (WIDTH, HEIGHT))
    answer = Answer(text=text, finish="stop", model="m", answer_tokens=TOKENS)
    verdict = judge(answer, parsed, (), ink=0.08, region=Region("unread"), prompt=asked.prompt, policy=POLICY)
    assert (verdict.refused, len(parsed.pieces) > 1) == ("", True)


def test_a_request_shows_one_megapixel_and_wants_256_tokens() -> None:
    """As the worker asks; the sweep's sizes too."""
    large, small = requests([a_page(1)], HEIGHT)[0], requests([a_page(1)], 644)[0]
    body = json.loads(large)
    assert (body["max_tokens"], body["stream"], body["model"]) == (TOKENS, True, "olmocr-2-7b-fp8")
    assert 0.9e6 < WIDTH * HEIGHT < 1.1e6
    assert len(large) > 2 * len(small)


def test_meters_count_the_outermost_port_once() -> None:
    """CPU, not waiting; what a port does through another is its own."""
    meters = Meters()

    class Inner:
        def get(self) -> int:
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass
            return 1

    inner = meters.around(Inner(), "s3")

    class Outer:
        def settle(self) -> int:
            time.sleep(0.05)
            return int(inner.get())

    assert meters.around(Outer(), "ledger").settle() == 1
    assert meters.calls == {"ledger.settle": 1}
    assert 0.045 < meters.cpu["ledger"] < 0.09
    assert "s3" not in meters.cpu


def test_costs_add_up_to_what_the_process_used() -> None:
    """Whatever belongs to no part is the rest."""
    before = {"process": 1.0, "threads": {"vision": 0.2}, "ports": {"sqs": 0.1}, "requests": {"sqs": 1}}
    ports = {"sqs": 0.3, "s3": 0.2, "client": 0.1}
    after = {"process": 3.0, "threads": {"vision": 0.7, "vllm": 0.1}, "ports": ports, "requests": {"sqs": 21, "s3": 5}}
    found = costs(before, after, 10, 5.0)
    assert sum(found.parts.values()) + found.watch == pytest.approx(found.whole) == pytest.approx(2.0)
    assert (found.rate, found.page, found.each("SQS"), found.each("client"), found.requests) == pytest.approx((2.0, 200.0, 20.0, 60.0, 25))


def test_the_sweep_is_every_combination_and_fp8_is_asked_of_a_gpu_alone() -> None:
    """Weights and KV cache together."""
    settings = list(Sweep().settings())
    assert len(settings) == len(set(settings)) == 18
    flags = next(one for one in settings if one.fp8).tuning(dry=False).flags()
    assert flags[flags.index("--quantization") + 1] == flags[flags.index("--kv-cache-dtype") + 1] == "fp8"
    assert all("fp8" not in one.tuning(dry=True).flags() for one in [*settings, *DRY.settings()])


def test_a_report_says_what_was_measured_and_what_was_not(tmp_path: Path) -> None:
    """In Markdown and in JSON; a dry run cannot be taken for a measurement."""
    report = Report("a machine", "a GPU", "0.0", dry=True)
    report.rows.append(Measured(64, 8192, True, "784 x 1288", 160, 12.345, 1400, 256, 1_000_000, 61.0, 0, 90))
    report.worker = {"straight": 10.0, "worker": 9.6, "share": 0.96, "cpu_ms": 12.0}
    report.notes.append("Not measured, for want of time: much.")
    report.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| 64 | 8192 | FP8 | 784 x 1288 | 12.35 | 1400 | 256 | 1,000,000 | 61.0 | 0 |" in text
    assert "96.0%" in text
    assert "A dry run" in text
    assert text.endswith("Not measured, for want of time: much.\n")
    assert json.loads((tmp_path / "report.json").read_text())["rows"][0]["kv_tokens"] == 1_000_000


def test_a_lock_is_thinned_by_whole_entries() -> None:
    """Hashes go with their package."""
    lock = "torch==2 \\\n    --hash=sha256:a\ntorch-extra==1 \\\n    --hash=sha256:b\nvllm==1 ; python_version >= '3' \\\n    --hash=sha256:c\n"
    assert filtered(lock, re.compile("torch")) == lock.partition("sha256:a\n")[2].rstrip("\n") + "\n"
