"""Starts MiniStack in a process of its own, on this machine alone, and ends it and everything it has started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psutil

from escriba.aws.clients import forget_clients
from escriba.local.embedded_aws import ACCOUNT, REGION

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-ministack" / "bin" / "python"
_HERE = "127.0.0.1"
_START_SECONDS, _END_SECONDS = 60.0, 10.0


@contextmanager
def ministack(directory: Path) -> Iterator[str]:
    """MiniStack while the context lasts; yields its endpoint's URL. `directory` receives its log.

    The environment points every AWS client of this process at it, and is restored. Raises SystemExit when it does not start.
    """
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        port = probe.getsockname()[1]
    endpoint = f"http://{_HERE}:{port}"
    scratch = directory / "scratch"
    scratch.mkdir(parents=True)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    theirs = {
        "BIND_HOST": _HERE,
        "MINISTACK_HOST": _HERE,
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "TMPDIR": str(scratch),
        "HOME": str(scratch),
    }
    with (directory / "ministack.log").open("wb") as log:
        process = subprocess.Popen([PYTHON, "-m", "ministack"], cwd=scratch, env=ours | theirs, stdout=log, stderr=log)
        try:
            _wait_until_ready(process, endpoint, directory / "ministack.log")
            with patch.dict(os.environ, _client_environment(endpoint)):
                forget_clients()
                yield endpoint
        finally:
            forget_clients()
            _end(process)
            shutil.rmtree(scratch, ignore_errors=True)


def _client_environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCOUNT,  # a key of twelve digits is the account to MiniStack
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _wait_until_ready(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2):  # noqa: S310  (our own address)
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    sys.exit(f"MiniStack did not start within {_START_SECONDS:g} s; its log ends with:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it by id, and its functions' processes with their readers, which live in sessions of their own."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=1)
    for child in alive:
        child.kill()
