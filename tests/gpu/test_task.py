"""What surrounds the worker in its task: ECS is told that it is at work, the weights come out of S3, and one box runs what the registry says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import textwrap
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import yaml

from escriba import models
from escriba.backends import Backend
from escriba.errors import ConfigurationError
from escriba.memory.meter import MemoryMeter
from escriba.topology import TOPOLOGY
from gpu_service.protection import Protection
from gpu_service.settings import ServiceSettings
from gpu_service.vllm_server import Tuning, serve_arguments
from tests.engines.servers import ROOT

COMPOSE = yaml.safe_load((ROOT / "gpu_service" / "docker-compose.yml").read_text())["services"]


@pytest.fixture
def agent() -> Iterator[tuple[str, list[Any]]]:
    """ECS's agent as a task sees it: its address, and what it was told."""
    told: list[Any] = []

    class Agent(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.append((self.path, body))
            self.send_response(500 if body.get("ExpiresInMinutes") == 30 and len(told) == 3 else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/x", told
    server.shutdown()
    server.server_close()


def test_a_busy_task_is_protected_and_an_idle_one_is_not(agent: tuple[str, list[Any]]) -> None:
    """Told when it changes and every ten minutes while it lasts, no oftener; a failure is told again at the next chance, and logged."""
    address, told = agent
    now, meter = [0.0], MemoryMeter()
    protect = Protection({"ECS_AGENT_URI": address}, meter, lambda: now[0])
    protect(busy=False)
    for _ in range(5):
        protect(busy=True)
    assert told == [("/api/x/task-protection/v1/state", {"ProtectionEnabled": True, "ExpiresInMinutes": 30})]
    now[0] = 601
    protect(busy=True)
    assert len(told) == 2
    now[0] = 1300
    protect(busy=True)  # which fails
    assert [event for _, event, _ in meter.events] == ["task not protected"]
    protect(busy=True)
    assert len(told) == 4
    protect(busy=False)
    protect(busy=False)
    assert told[4:] == [("/api/x/task-protection/v1/state", {"ProtectionEnabled": False})]


def test_without_an_agent_nobody_is_told() -> None:
    """On a box of one's own."""
    Protection({}, MemoryMeter())(busy=True)


def test_settings_survive_the_way_through_the_environment() -> None:
    """What differs from the defaults, and nothing else."""
    settings = ServiceSettings(at_once=3, front_seconds=1.5, front_key_secret="a-name")  # noqa: S106  (its name)
    assert ServiceSettings.from_env(settings.to_env()) == settings
    assert set(settings.to_env()) == {"ESCRIBA_GPU_AT_ONCE", "ESCRIBA_GPU_FRONT_SECONDS", "ESCRIBA_GPU_FRONT_KEY_SECRET"}
    assert ServiceSettings.from_env({}) == ServiceSettings()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ESCRIBA_GPU_AT_ONSE", "4", "there is no environment variable ESCRIBA_GPU_AT_ONSE; did you mean ESCRIBA_GPU_AT_ONCE?"),
        ("ESCRIBA_GPU_SERVER", "vllm:8000", "environment variables are wrong: ESCRIBA_GPU_SERVER"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_name(variable: str, value: str, said: str) -> None:
    """One of the pipeline's, which begins like these, is none of our business."""
    with pytest.raises(ConfigurationError) as refused:
        ServiceSettings.from_env({variable: value, "ESCRIBA_GPU_SERVICE": "cluster/service"})
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "the environment variable MODEL is missing"),
        ({"MODEL": models.DEFAULT, "MODEL_BUCKET": "", "MODEL_CACHE": "/tmp"}, "the environment variable MODEL_BUCKET is missing"),  # noqa: S108
        ({"MODEL": "olmocr-3", "MODEL_BUCKET": "b", "MODEL_CACHE": "/tmp"}, "there is no model 'olmocr-3'"),  # noqa: S108
        ({"MODEL": "gpt-4o", "MODEL_BUCKET": "b", "MODEL_CACHE": "/tmp"}, "gpt-4o"),  # noqa: S108
    ],
)
def test_weights_that_cannot_be_had_are_one_sentence(environment: dict[str, str], said: str) -> None:
    """Before vLLM is started on nothing."""
    told = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "PATH": "", **environment}
    ended = subprocess.run([sys.executable, "-m", "gpu_service.weights"], cwd=ROOT, env=told, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("escriba: ")
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_one_box_serves_what_the_registry_says() -> None:
    """The image is the pinned vLLM, unmodified; its command is the default model's, from the folder its weights are brought to."""
    vllm, entry = COMPOSE["vllm"], models.model(models.DEFAULT)
    assert vllm["image"] == f"vllm/vllm-openai:v{models.VLLM_VERSION}"
    assert "build" not in vllm
    folder = f"{COMPOSE['weights']['environment']['MODEL_CACHE']}/{entry.name}/{entry.revision}"
    assert tuple(vllm["command"]) == serve_arguments(entry, folder, Tuning(), host="0.0.0.0", port=8000)  # noqa: S104
    assert COMPOSE["weights"]["environment"]["MODEL"] == entry.name
    assert vllm["networks"] == ["inside"]  # which leads nowhere


def test_one_box_is_asked_for_what_it_serves() -> None:
    """By the backend that docs/deploy.md tells the deployment of, and by the one of docs/configuration.md."""
    served = COMPOSE["vllm"]["command"]
    name = served[served.index("--served-model-name") + 1]
    for page, heading in (("deploy.md", "### One box with a card"), ("configuration.md", "## Vision backends")):
        text = (ROOT / "docs" / page).read_text().partition(heading)[2]
        table = re.search(r"^ *\[\[backend\]\]\n(?: *\w+ = .*\n)+", text, re.MULTILINE)
        assert table is not None
        [entry] = tomllib.loads(textwrap.dedent(table[0]))["backend"]
        backend = Backend.model_validate(entry)
        assert models.model(backend.model).served_as(backend.served_as) == name


def test_what_a_worker_may_be_told_stands_on_the_page() -> None:
    """With its default: the table of ESCRIBA_GPU_* in docs/deploy.md."""
    text = (ROOT / "docs" / "deploy.md").read_text().partition("| variable | default | meaning |")[2].partition("\n\n")[0]
    told = {}
    for names, defaults in re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|", text, re.MULTILINE):
        given = [default.strip() for default in defaults.split(",")]
        variables = re.findall(r"`(\w+)`", names)
        told |= dict(zip(variables, given if len(given) == len(variables) else given * len(variables), strict=True))
    fields = ServiceSettings.model_fields
    assert told.keys() <= {name.upper() for name in fields}
    for name, default in told.items():
        assert default == (
            f"{fields[name.lower()].default:g}"
            if isinstance(fields[name.lower()].default, float | int)
            else str(fields[name.lower()].default or "none")
        ), name


def test_one_box_is_sealed() -> None:
    """Read-only, without rights, not root; the worker has longer to stop than it takes, and its settings are ones there are."""
    for name, service in COMPOSE.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["user"].partition(":")[0]) > 0
        assert all(shlex.split(port)[0].startswith("127.0.0.1:") for port in service.get("ports", ()))
    environment = dict(COMPOSE["worker"]["environment"])
    [largest] = {function.memory for function in TOPOLOGY.functions if function.name == "recognise_pages"}
    assert int(environment.pop("ESCRIBA_READER_MEMORY_MB")) == largest - 256  # which its handler keeps, as in cdk/functions.py
    settings = ServiceSettings.from_env(environment)
    assert settings.to_env() == environment
    assert int(COMPOSE["worker"]["stop_grace_period"].removesuffix("s")) > settings.stop_seconds
    for name in ("vllm", "worker"):
        assert COMPOSE[name]["healthcheck"]["test"][0] == "CMD"
    compile(COMPOSE["worker"]["healthcheck"]["test"][3], "healthcheck", "exec")
