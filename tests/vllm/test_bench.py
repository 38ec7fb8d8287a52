"""The bench for a GPU, where there is none: vLLM's own parser takes every command of the sweep, and the same steps run on the CPU with a small model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu.sweep import Sweep
from bench.hard_pages import MODEL, TOKENS
from bench.vllm_process import Vllm
from tests.documents import ROOT
from tests.vllm.test_flags import PARSE, PYTHON

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def arguments(command: list[str]) -> list[str]:
    """What follows `vllm serve`: the model first."""
    at = command.index("--model")
    return [command[at + 1], *command[at + 2 :]]


def test_every_command_of_the_sweep_is_understood() -> None:
    """FP8 and all; one with a wrong precision is not."""
    commands = {str(one): arguments(Vllm().command(Path("folder"), one.tuning(dry=False), 8000)) for one in Sweep().settings()}
    commands["wrong"] = [*next(iter(commands.values())), "--kv-cache-dtype", "fp9"]
    environment = os.environ | {"VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    done = subprocess.run([PYTHON, "-c", PARSE], input=json.dumps(commands), capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])["found"]
    assert found.pop("wrong") == 2
    assert len(found) == 18
    assert all(parsed == ["folder", None, [MODEL], 16_384, 1] for parsed in found.values())


def test_the_dry_run_goes_all_the_way(tmp_path: Path) -> None:
    """Two servers, two sizes of picture, the worker beside the closed loop; every answer exactly as long as it may be."""
    command = [sys.executable, "-m", "bench.gpu.run", "--dry", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=840, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["notes"] == []
    assert [(row["sequences"], row["pixels"]) for row in report["rows"]] == [
        (8, "392 x 644"),
        (8, "256 x 420"),
        (4, "392 x 644"),
        (4, "256 x 420"),
    ]
    assert {row["tokens_out"] for row in report["rows"]} == {TOKENS}
    assert all(row["kv_tokens"] > 10_000 and row["kv_requests"] > 1 for row in report["rows"])
    assert report["rows"][0]["tokens_in"] > 1.3 * report["rows"][1]["tokens_in"]
    assert 0.3 < report["worker"]["share"] < 1.5
    assert "A dry run" in (tmp_path / "report.md").read_text()
