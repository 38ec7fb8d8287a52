"""What a task of the GPU service may do, beside what its worker does on moto: no less, and no more without a reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from cdk.gpu_settings import GpuSettings
from escriba.aws.clients import client, forget_clients
from escriba.backends import OURS
from escriba.local.embedded_aws import embedded_aws
from escriba.settings import Settings
from escriba.topology import TOPOLOGY
from escriba.vision import Answer, Question
from gpu_service.__main__ import _ports
from gpu_service.admission import Admission
from gpu_service.settings import ServiceSettings
from gpu_service.worker import Limits, Worker
from lambdas.entry import release_worker, worker_ports
from tests.faults.harness import ObedientVision
from tests.gpu.world import World
from tests.infra.conftest import Template
from tests.infra.gpu_template import MODEL, granted, named
from tests.infra.roles import needed

Call = tuple[str, str]
"""An action and what it is done to, in words."""


class Slow(ObedientVision):
    def ask(self, question: Question, seconds: float) -> Answer:
        time.sleep(1.5)
        return super().ask(question, seconds)


def worked(settings: Settings, vision: ObedientVision, pages: int) -> list[Call]:
    """Every call of AWS that a worker makes while it reads so many pages with this model."""
    calls: list[Call] = []
    release_worker()
    made = World(settings, worker_ports(), {}, TOPOLOGY)
    made.put_hard_pages(pages)
    ports = replace(_ports(ServiceSettings(readers=1), settings), vision=lambda _: vision)
    for service in ("s3", "sqs", "dynamodb", "events", "cloudwatch", "secretsmanager"):

        def note(params: dict[str, Any], model: Any, **_: Any) -> None:
            if threading.current_thread() is not threading.main_thread():  # which only looks on
                calls.extend(
                    (action, in_words(settings, arn)) for action, arn in needed(model.service_model.service_name, model.name, params)
                )

        client(service).meta.events.register(f"provide-client-params.{service}", note, unique_id="role")  # type: ignore[call-overload]
    limits = Limits(ahead=1, most=4, stop=2.0, visibility=2.0, poll=0)
    worker = Worker(ports, Admission(1, line=4), lambda: True, limits=limits)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        end = time.monotonic() + 60
        while made.waiting() and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        worker.leave()
        thread.join(30)
        ports.reader.close()
    return calls


def in_words(settings: Settings, arn: str) -> str:
    """`arn:aws:s3:::escriba-results/readings/x` is `results/readings/x`."""
    kind, name = arn.split(":")[2], arn.split(":", 5)[-1]
    if kind == "sqs":
        return name.rpartition("--")[2].replace("-", "")
    return name.replace(settings.results_bucket, "results").replace(f"table/{settings.ledger_table}", "ledger")


@pytest.fixture(scope="module")
def calls() -> Iterator[set[Call]]:
    """Those of a worker whose model takes longer than the queue hides a message."""
    with embedded_aws(TOPOLOGY) as made, pytest.MonkeyPatch.context() as environment:
        own = GpuSettings(model=MODEL.name).backend.model_copy(update={"start_seconds": 0.0})
        settings = made.model_copy(update={"backends": (own,)})
        for name, value in settings.to_env().items():
            environment.setenv(name, value)
        yield set(worked(settings, Slow(), 2))
        release_worker()
        forget_clients()


KEY = "S3, SQS and DynamoDB use the stage's key in the caller's name"
NEVER_CALLED = {
    ("sqs:GetQueueAttributes", "vision"): "whoever consumes a queue may ask how full it is",
    ("sqs:SendMessage", "vision"): "a page that is not believed, where another own model comes after this one",
    ("sqs:SendMessage", "visionapi"): "a page that is not believed goes on to the models behind an API",
    ("sqs:SendMessage", "visiondlq"): "a page that failed three times is given up",
    ("s3:GetObject", f"results/weights/models/{MODEL.name}/{MODEL.revision}/*"): "the container that fetches them does",
    ("s3:ListBucket", "results"): "without it S3 says 'forbidden' of what is not there",
    ("s3:AbortMultipartUpload", "results/readings/*"): "an upload in parts that fails is given up",
    ("ecs:GetTaskProtection", "tasks of escriba-prod"): "the agent asks and tells in the task's name",
    ("ecs:UpdateTaskProtection", "tasks of escriba-prod"): "the same",
    **{(f"kms:{verb}", "key"): KEY for verb in ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo")},
}


def test_the_worker_does_nothing_that_its_role_forbids(calls: set[Call], gpu: Template) -> None:
    """It was at work on queue, ledger and bucket, and every call is allowed."""
    role = {(action, named(resource)) for action, resource in granted(gpu, "TaskRole")}
    assert {action.partition(":")[0] for action, _ in calls} == {"sqs", "s3", "dynamodb"}
    assert {call for call in calls if not any(call[0] == action and fnmatchcase(call[1], word) for action, word in role)} == set()
    assert OURS in {word for action, word in calls if action == "sqs:DeleteMessage"}


def test_nothing_is_granted_to_it_without_a_reason(calls: set[Call], gpu: Template) -> None:
    """What it did not call is known, and why it may; a reason for what was called is stale."""
    role = {(action, named(resource)) for action, resource in granted(gpu, "TaskRole")}
    unused = {grant for grant in role if not any(call[0] == grant[0] and fnmatchcase(call[1], grant[1]) for call in calls)}
    assert unused == NEVER_CALLED.keys()
