"""The image of the GPU service's worker, its Dockerfile's steps replayed without Docker: its main reads a recorded message against llama.cpp's server.

Not replayed: the base image and USER, for which a bare environment of the running Python stands.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from cdk.deployment import ROOT
from escriba.aws.clients import client
from escriba.messages import VisionRequested, decode
from escriba.policy import parse_policy
from gpu_service.settings import ServiceSettings
from tests.engines.servers import KEY, llamacpp
from tests.gpu.world import world
from tests.packages import environment
from tests.packages.conftest import Figure
from tests.packages.dockerfile import Stage, replay

pytestmark = [pytest.mark.packages, pytest.mark.slow, pytest.mark.timeout(900)]
DOCKERFILE = ROOT / "gpu_service" / "Dockerfile"
MESSAGE = ROOT / "tests" / "events" / "vision_queue.json"


@pytest.fixture(scope="module")
def image(checkout: Path, bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return replay(DOCKERFILE, checkout, tmp_path_factory.mktemp("image"), bare)


def test_it_holds_no_engine_and_no_vllm(image: Stage, bare: Path, record_property: Figure) -> None:
    """A sidecar: what OCR needs stays out, and so does what comes with vLLM's own image."""
    record_property("GPU worker's image, /var/task unpacked", f"{environment.megabytes(image.root):.0f} MB")
    replaced = environment.lock_for(bare, ROOT / "gpu_service" / "requirements.txt")[1]
    record_property("run on", f"{environment.lambda_python()}, other versions than the lock's: {', '.join(replaced) or 'none'}")
    assert replaced <= {"numpy"}
    inside = {path.name for path in (image.root / "var" / "task").iterdir()}
    assert {"escriba", "lambdas", "gpu_service", "aiohttp", "pymupdf"} <= inside
    assert not {"onnxruntime", "rapidocr", "tesserocr", "torch", "vllm", "moto"} & inside
    assert (image.workdir, image.entrypoint, image.command) == ("/var/task", ["python", "-m"], ["gpu_service"])


@pytest.mark.usefixtures("_no_account")
def test_its_main_reads_a_recorded_message(image: Stage, bare: Path, tmp_path: Path) -> None:
    """The page ends in the ledger, the message is gone, SIGTERM ends it with status 0; nothing was imported or written beside its own folder."""
    message = decode(MESSAGE.read_text())
    assert isinstance(message, VisionRequested)
    with llamacpp(tmp_path) as llama, world(tmp_path, llama.base_url, key_secret="gpu") as made:  # noqa: S106  (its name)
        client("secretsmanager").create_secret(Name="gpu", SecretString=KEY)
        # The recorded message is as old as the recording.
        patient = parse_policy("[vision]\nattempts = 1\nmax_tokens = 64\ncrops = false\ndeadline_seconds = 1e9")
        assert made.put_hard_pages(1, policy=patient) == message.document_id
        queue = made.ports.queues["vision"]
        [sent] = queue.receive(1)
        queue.delete(sent.receipt)
        queue.send([MESSAGE.read_text()])
        root = image.root / "var" / "task"
        before = sorted(root.rglob("*"))
        settings = ServiceSettings(server=llama.address, front_port=0, readers=1, poll=1, at_once=2)
        variables = {"PATH": f"{bare / 'bin'}:{os.defpath}", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path)}
        variables |= made.environment | settings.to_env()
        process = subprocess.Popen([*image.entrypoint, *image.command], cwd=root, env=variables, stderr=subprocess.PIPE, text=True)
        try:
            end = time.monotonic() + 60
            while queue.depth().total and time.monotonic() < end and process.poll() is None:
                time.sleep(0.2)
            [row] = made.rows(message.document_id)
            process.send_signal(signal.SIGTERM)
            status = process.wait(60)
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for member in [*family, process]:
                member.kill()
        assert process.stderr is not None
        assert (status, process.stderr.read()) == (0, "")
        assert (row.state, row.engine) == ("DEGRADED", "tesseract")
        assert "not believed" in row.reason  # the model's noise was heard, and refused
        assert queue.depth().total == made.ports.queues["vision-dlq"].depth().total == 0
    assert sorted(root.rglob("*")) == before
