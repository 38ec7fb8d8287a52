"""The server is waited for, watched, and started again, later each time; one that is somebody else's is only watched."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from escriba.memory.meter import MemoryMeter
from escriba.models import model
from gpu_service.vllm_server import Patience, Tuning, VllmServer, serve_arguments, vllm_command
from tests.engines.servers import free_port, started

QUICK = Patience(look=0.05, answer=0.4, start=20.0, misses=2, pause=0.05)


def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    assert true()


@contextmanager
def child(meter: MemoryMeter, *, metrics: list[str] | None = None, patience: Patience = QUICK) -> Iterator[tuple[VllmServer, str]]:
    """A stub run as a child, once it is well."""
    port = free_port()
    # The stub ends with its standard input, which a child of ours has not: it is held open by a shell.
    command = ("/bin/sh", "-c", f"sleep 60 | exec {sys.executable} -m tests.gpu.stub_server {port}")
    server = VllmServer(
        f"http://127.0.0.1:{port}", meter, command=command, patience=patience, on_metrics=([] if metrics is None else metrics).append
    )
    server.start()
    try:
        until(server.ready)
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.stop(1)
        assert (server.state, server.pid) == ("stopped", 0)


def set_mood(address: str, **mood: Any) -> None:
    request = urllib.request.Request(f"{address}/mood", data=json.dumps(mood).encode(), method="POST")  # noqa: S310  (our own address)
    with urllib.request.urlopen(request, timeout=5):  # noqa: S310
        pass


def test_a_child_that_dies_or_hangs_is_started_again() -> None:
    """Killed: ill at once, well again in a new process. Hanging: killed after so many looks, and the same."""
    meter, metrics = MemoryMeter(), list[str]()
    with child(meter, metrics=metrics) as (server, address):
        until(lambda: metrics)
        assert "vllm:num_requests_running" in metrics[0]
        first = server.pid
        os.killpg(first, signal.SIGKILL)
        until(lambda: not server.ready())
        until(server.ready)
        assert server.pid not in {0, first}
        second = server.pid
        set_mood(address, hang=True)
        until(lambda: server.pid not in {0, second})
        until(server.ready)
        assert meter.counts["VisionServerRestarts"] == 2
        assert [event for _, event, _ in meter.events if "died" in event or "hangs" in event] == [
            "vision server died",
            "vision server hangs",
        ]


def test_one_look_without_an_answer_is_not_enough() -> None:
    """A server that is busy for a moment stays."""
    with child(MemoryMeter(), patience=Patience(look=0.05, answer=0.4, start=20, misses=1000, pause=0.05)) as (server, address):
        pid = server.pid
        set_mood(address, health=503)
        time.sleep(0.5)
        assert (server.state, server.pid) == ("well", pid)


def test_a_command_that_cannot_work_is_tried_later_each_time() -> None:
    """It ends at once: the pauses grow, and it is never well."""
    meter = MemoryMeter()
    server = VllmServer(f"http://127.0.0.1:{free_port()}", meter, command=("/bin/false",), patience=QUICK)
    server.start()
    until(lambda: meter.counts["VisionServerRestarts"] >= 3)
    server.stop()
    pauses = [fields["seconds"] for _, event, fields in meter.events if event == "vision server is started again"]
    assert pauses[:3] == sorted(pauses[:3])
    assert pauses[2] >= 2 * pauses[0]
    assert not server.ready()


def test_a_start_that_takes_too_long_is_given_up() -> None:
    """A process that runs and never answers."""
    meter = MemoryMeter()
    patience = Patience(look=0.05, answer=0.2, start=0.3, misses=2, pause=0.05)
    server = VllmServer(f"http://127.0.0.1:{free_port()}", meter, command=("/bin/sleep", "60"), patience=patience)
    server.start()
    until(lambda: meter.counts["VisionServerRestarts"] >= 1)
    server.stop()
    assert any(event == "vision server does not start" for _, event, _ in meter.events)


def test_somebody_elses_server_is_only_watched(tmp_path: Any) -> None:
    """Ill when it does not answer, well when it does again; nothing is killed."""
    port = free_port()
    command = [sys.executable, "-m", "tests.gpu.stub_server", str(port)]
    with started("stub", command, port, tmp_path / "log", seconds=30) as stub:
        server = VllmServer(stub.address, MemoryMeter(), patience=QUICK)
        server.start()
        until(server.ready)
        set_mood(stub.address, health=503)
        until(lambda: server.state == "ill")
        set_mood(stub.address)
        until(server.ready)
        assert stub.process.poll() is None
        stub.kill()
        until(lambda: server.state == "ill", 2)  # nobody listens: one look is enough
        server.stop()


def test_the_command_is_the_registrys() -> None:
    """The model's own flags, our own, then the deployment's; the folder is the model."""
    wanted = model("olmocr-2-7b-fp8")
    tuning = Tuning(max_num_seqs=64, kv_cache_dtype="fp8", more=("--enforce-eager",))
    arguments = serve_arguments(wanted, "/weights", tuning, host="127.0.0.1", port=8000)
    assert arguments[0] == "/weights"
    assert set(wanted.vllm) <= set(arguments)
    for pair in (("--port", "8000"), ("--max-num-seqs", "64"), ("--kv-cache-dtype", "fp8"), ("--stream-interval", "16")):
        assert pair in itertools.pairwise(arguments)
    assert arguments[-1] == "--enforce-eager"
    assert "--gpu-memory-utilization" not in arguments
    command = vllm_command(arguments)
    assert command[1:5] == ("-m", "vllm.entrypoints.openai.api_server", "--model", "/weights")


@pytest.mark.parametrize("name", ["olmocr-2-7b-fp8", "lightonocr-2-1b"])
def test_a_revision_is_not_asked_of_a_folder(name: str) -> None:
    """Weights in a folder were pinned when they were brought there."""
    assert "--revision" not in serve_arguments(model(name), "/weights", Tuning(), host="h", port=1)
