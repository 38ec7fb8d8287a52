"""The service's own main as a process, against moto and llama.cpp's server: a recorded message, a drain, and killings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from escriba.aws.clients import client
from escriba.messages import decode
from gpu_service.settings import ServiceSettings
from tests.engines.servers import KEY, ROOT, Server, llamacpp
from tests.gpu.kills import campaign
from tests.gpu.world import Running, World, worker, world

MESSAGE = ROOT / "tests" / "events" / "vision_queue.json"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with llamacpp(tmp_path_factory.mktemp("llama")) as server:
        yield server


@pytest.fixture(scope="module")
def made(llama: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), llama.base_url, key_secret="gpu") as deployment:  # noqa: S106  (its name)
        client("secretsmanager").create_secret(Name="gpu", SecretString=KEY)
        yield deployment


def settings(llama: Server, **changes: object) -> ServiceSettings:
    return ServiceSettings.model_validate({"server": llama.address, "at_once": 2, "front_port": 0, "readers": 1, "poll": 1, **changes})


def until_read(made: World, running: Running, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while made.waiting() and time.monotonic() < end and running.process.poll() is None:
        time.sleep(0.1)
    assert not made.waiting(), running.log.read_text()[-3000:]


def test_the_recorded_message_is_what_the_pipeline_sends(made: World) -> None:
    """Field by field, but for its time."""
    made.put_hard_pages(1)
    [sent] = made.ports.queues["vision"].receive(1)
    recorded = decode(MESSAGE.read_text())
    assert recorded.model_copy(update={"sent_at": None, "escalated_at": None, "document_id": "", "object_key": ""}) == decode(  # type: ignore[union-attr]
        sent.body
    ).model_copy(update={"sent_at": None, "escalated_at": None, "document_id": "", "object_key": ""})  # type: ignore[union-attr]
    made.ports.queues["vision"].change_visibility(sent.receipt, 0)


def test_pages_are_read_and_a_task_that_leaves_takes_nothing_along(made: World, llama: Server, tmp_path: Path) -> None:
    """The ledger has every page, the queue is empty, SIGTERM ends it with status 0, and no word of a page is in its log."""
    made.put_hard_pages(5)
    running = worker(made, settings(llama), log=tmp_path / "log")
    try:
        until_read(made, running)
        running.leave()
        assert running.process.wait(20) == 0
    finally:
        running.kill()
    assert made.ports.queues["vision"].depth().total == 0
    for identity in made.documents:
        assert {row.state for row in made.rows(identity)} == {"DEGRADED"}  # noise is not believed
    made.assemble()
    assert {made.ports.ledger.document(identity).current for identity in made.documents} == {1}
    # Log lines are JSON.
    lines = [json.loads(line) for line in Path(made.settings.telemetry_file).read_text().splitlines()]
    assert any(line.get("message") == "gpu worker left" for line in lines)
    assert any("_aws" in line for line in lines)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ESCRIBA_GPU_AT_ONCE": "many"}, "environment variables are wrong: ESCRIBA_GPU_AT_ONCE"),
        ({"ESCRIBA_QUEUES": "{}"}, "ESCRIBA_QUEUES has no address for assemble, vision, vision-api, vision-dlq"),
        ({"AWS_DEFAULT_REGION": None, "AWS_REGION": None}, "no AWS region is set"),
        ({"ESCRIBA_LEDGER_TABLE": None}, "environment variables are missing or wrong: ESCRIBA_LEDGER_TABLE"),
        ({"ESCRIBA_GPU_MODEL": "olmocr-2-7b-fp8", "ESCRIBA_GPU_WEIGHTS": "/nowhere"}, "ESCRIBA_GPU_WEIGHTS names no folder: /nowhere"),
        ({"ESCRIBA_GPU_MODEL": "olmocr-3", "ESCRIBA_GPU_WEIGHTS": "/"}, "there is no model 'olmocr-3' in the registry; did you mean"),
        ({"ESCRIBA_GPU_FRONT_PORT": "1", "ESCRIBA_GPU_FRONT_HOST": "192.0.2.1"}, "nothing can listen on 192.0.2.1 port 1: "),
    ],
)
def test_what_is_wrong_in_the_environment_is_one_sentence(made: World, environment: dict[str, str | None], said: str) -> None:
    """And no traceback."""
    changed = {**os.environ, **made.environment, **{name: value for name, value in environment.items() if value is not None}}
    for name in (name for name, value in environment.items() if value is None):
        changed.pop(name, None)
    ended = subprocess.run(
        [sys.executable, "-m", "gpu_service"], cwd=ROOT, env=changed, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().startswith("escriba: ")
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_nothing_is_lost_when_everything_is_killed(tmp_path: Path) -> None:
    """The worker killed and frozen, the server killed: every page ends once, and stands once in its document. `make kills` does it 200 times."""
    every = ["kill worker", "kill server", "let visibility expire"]
    run, wrong = campaign(every, 7, tmp_path)
    assert not wrong
    assert run.done.total() == len(every)
    assert len(run.made.documents) > 1
    assert run.receives() > 1  # something was in hand when it was killed
