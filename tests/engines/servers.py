"""Starts real servers of vision models in processes of their own, on this machine alone, and ends them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = "127.0.0.1"
KEY = "a-key-of-the-tests"


@dataclass(frozen=True)
class Server:
    """One that runs: what it is, its address without a path, and its process, which leads a group of its own."""

    kind: str
    address: str
    process: subprocess.Popen[bytes]

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    def kill(self) -> None:
        """As the kernel does that is out of memory: no farewell."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    kind: str,
    command: Sequence[str],
    port: int,
    log: Path,
    *,
    seconds: float,
    env: Mapping[str, str] | None = None,
    health: str = "/health",
) -> Iterator[Server]:
    """A server while the context lasts, once it has said that it is well. Raises AssertionError with the end of its log when it does not within `seconds`."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True)
    server = Server(kind, f"http://{HERE}:{port}", process)
    try:
        _wait(server, log, seconds, health)
        yield server
    finally:
        server.kill()
        if process.stdin:
            process.stdin.close()


@contextmanager
def llamacpp(directory: Path) -> Iterator[Server]:
    """llama.cpp's server; its log goes to `directory`."""
    port = free_port()
    command = [sys.executable, "-m", "tests.engines.llama_server", str(port), KEY]
    with started("llamacpp", command, port, directory / f"llama-{port}.log", seconds=60) as server:
        yield server


def _wait(server: Server, log: Path, seconds: float, health: str) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.address}{health}", timeout=2):  # noqa: S310  (our own address)
                return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.05)
    raise AssertionError(f"{server.kind} did not start:\n" + log.read_text(errors="replace")[-3000:])
