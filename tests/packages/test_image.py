"""The image of the OCR functions, its Dockerfile's steps replayed without Docker, answers recorded events by its own entry point.

Not replayed: the base image and USER, for which a bare environment of the running Python stands, and apt-get, which brings Tesseract's data: English
comes from this environment's own, and the policy asks for English alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from cdk import packages
from cdk.deployment import ROOT
from escriba.engines.tesseract import data_folder
from escriba.messages import ObjectCreated, PagesRequested, decode
from escriba.policy import Ocr
from tests.packages import environment
from tests.packages.cloud import DOCUMENT, PAGES, PIXELS, POLICY, Cloud, lay_down, recorded
from tests.packages.conftest import Figure
from tests.packages.dockerfile import Ignored, Stage, replay, steps
from tests.packages.runtime_api import runtime_api

pytestmark = [pytest.mark.packages, pytest.mark.slow, pytest.mark.timeout(900)]
DOCKERFILE = ROOT / "lambdas" / "Dockerfile"
IMAGE_LIMIT = 10_000
"""Megabytes that AWS takes of an unpacked image."""


@pytest.fixture(scope="session")
def image(checkout: Path, bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return replay(DOCKERFILE, checkout, tmp_path_factory.mktemp("image"), bare)


def test_every_dockerfile_is_pinned_and_gives_up_root() -> None:
    """There are two; the base of each is an exact version of the zips' Python, and it ends as somebody else than root."""
    listed = subprocess.run(["git", "ls-files", "*Dockerfile*"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = [ROOT / name for name in listed if not name.endswith(".py")]
    assert found == [ROOT / "gpu_service" / "Dockerfile", DOCKERFILE]
    for dockerfile in found:
        told = steps(dockerfile.read_text())
        [base] = [rest.removeprefix("PYTHON=") for word, rest in told if word == "ARG"]
        assert re.fullmatch(rf"python:{re.escape(packages.PYTHON)}\.\d+-slim-\w+", base)
        assert [rest.split()[0] for word, rest in told if word == "FROM"] == ["${PYTHON}", "${PYTHON}"]
        assert [rest for word, rest in told if word == "USER"] == ["nobody"]


def test_its_size_is_within_limits(image: Stage, bare: Path, record_property: Figure) -> None:
    """What its steps lay down, apt-get's part and the base image aside; a Python that is not Lambda's may need another numpy than the lock's."""
    size = environment.megabytes(image.root)
    record_property("image, /var/task unpacked", f"{size:.0f} MB")
    replaced = environment.lock_for(bare, environment.LOCKS / "ocr.txt")[1]
    record_property("run on", f"{environment.lambda_python()}, other versions than the lock's: {', '.join(replaced) or 'none'}")
    assert replaced <= {"numpy"}
    assert image.workdir == "/var/task"
    assert [step.split()[0] for step in image.skipped] == ["apt-get"]
    assert 300 < size < IMAGE_LIMIT


def test_split_takes_an_upload_in(aws: Cloud, image: Stage, bare: Path) -> None:
    """A PDF from the inbox: four pages laid down in three rows, a message for each, and the upload is gone."""
    event, [upload] = recorded("split_document")
    assert isinstance(upload, ObjectCreated)
    version = aws.ports.inbox.upload(DOCUMENT, upload.object.key)
    # An upload's version is for S3 to name.
    told = json.loads(json.dumps(event).replace(upload.object.version_id, version))
    run(image, bare, "split_document", told, aws)
    [document] = aws.ports.ledger.documents()
    assert (document.state, document.total, document.waiting, document.tenant) == ("READING", PAGES, PAGES, "acme")
    rows = {(row.first, row.last): row for row in aws.ports.ledger.pages(document.document_id)}
    assert {span: row.route for span, row in rows.items()} == {(1, 1): "text_layer", (2, 2): "ocr", (3, 4): "text_layer"}
    sent = [decode(delivery.body) for delivery in aws.ports.queues["pages"].receive(10)]
    assert {(message.first, message.last) for message in sent if isinstance(message, PagesRequested)} == rows.keys()
    assert aws.ports.results.get(rows[2, 2].object_key).startswith(b"%PDF")
    assert list(aws.ports.inbox.keys("inbox/")) == []


@pytest.mark.parametrize(("asked", "read_by"), [("auto", "tesseract"), ("rapidocr", "rapidocr")])
def test_recognise_reads_a_page(aws: Cloud, image: Stage, bare: Path, asked: str, read_by: str) -> None:
    """The page without a text layer is read by either engine, neither lacking anything, and is DONE; the others wait on."""
    event, [message] = recorded("recognise_pages")
    assert isinstance(message, PagesRequested)
    assert (message.first, message.route) == (PIXELS, "ocr")
    lay_down(aws, message.document_id, POLICY.model_copy(update={"ocr": Ocr(engine=asked)}))
    run(image, bare, "recognise_pages", event, aws)
    document = aws.ports.ledger.document(message.document_id)
    assert (document.done, document.waiting) == (1, 3)
    row = aws.ports.ledger.pages_row(message.document_id, PIXELS, PIXELS)
    assert row is not None
    assert (row.state, row.engine) == ("DONE", read_by)
    assert list(aws.ports.results.keys(f"readings/{message.document_id}/pages/")) == [row.result_key]


def run(image: Stage, bare: Path, function: str, event: Any, aws: Cloud) -> None:
    """One invocation of the image with the function's own command; it answers that nothing failed, and has written nothing beside its code."""
    data, root = data_folder(["eng"]), image.root / image.workdir.lstrip("/")
    assert data is not None
    assert image.command == ["lambdas.recognise_pages.handler"]
    before = sorted(root.rglob("*"))
    with runtime_api(event) as api:
        variables = {"AWS_LAMBDA_RUNTIME_API": api.address, "AWS_LAMBDA_FUNCTION_NAME": function, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008"}
        variables |= {"LAMBDA_TASK_ROOT": str(root), "PATH": f"{bare / 'bin'}:{os.defpath}", "PYTHONDONTWRITEBYTECODE": "1"}
        variables |= {"TESSDATA_PREFIX": str(data)} | aws.environment()
        process = subprocess.Popen([*image.entrypoint, f"lambdas.{function}.handler"], cwd=root, env=variables)
        try:
            kind, answer = api.answers.get(timeout=240)
        finally:
            family = [process, *psutil.Process(process.pid).children(recursive=True)]
            for member in family:
                member.kill()
            process.wait()
    assert (kind, answer) == ("response", {"batchItemFailures": []})
    assert sorted(root.rglob("*")) == before


def test_a_step_that_is_forgotten_or_copies_nothing_is_seen(checkout: Path, bare: Path, tmp_path: Path) -> None:
    """Without the COPY that brings the lock, the step that installs it fails; a COPY of what is not let in fails itself."""
    text, line = DOCKERFILE.read_text(), "COPY lambdas/requirements/ocr.txt /tmp/"
    assert line in text
    for wrong, error in (("", subprocess.CalledProcessError), ("COPY docs /source/", FileNotFoundError)):
        scratch = tmp_path / error.__name__
        scratch.mkdir()
        (scratch / "Dockerfile").write_text(text.replace(line, wrong))
        with pytest.raises(error):
            replay(scratch / "Dockerfile", checkout, scratch, bare)


def test_what_the_context_lets_in() -> None:
    """Our packages and what builds them; no caches, no environment, no documents."""
    ignored = Ignored(ROOT / ".dockerignore")
    assert not any(map(ignored, ("pyproject.toml", "README.md", "escriba/aws/ledger.py", "lambdas/requirements/ocr.txt")))
    assert all(map(ignored, (".venv/bin/python", "escriba/aws/__pycache__/x.pyc", "docs/deploy.md", "tests/__init__.py", "cdk.json")))
