"""The matrix on moto: the real handlers, DynamoDB's conditions, SQS's receipts, Powertools' metrics."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from escriba.alarms import ALARMS, OURS, TABLE
from escriba.aws.clients import client
from escriba.errors import EngineUnavailable
from escriba.memory.service import MemoryService
from lambdas import measure_gpu_service
from tests.matrix.faults import ATTEMPTS, FAULTS, NONSENSE, Heal, poison_page
from tests.matrix.moto_world import moto_world
from tests.matrix.trace import faults_found, run_through
from tests.matrix.world import HOUR, MINUTE, World

pytestmark = pytest.mark.no_cover  # hours of simulated work: being measured would double their time, and others cover the same code

ON_MOTO = (
    "split-mapping-disabled",
    "recognise-mapping-disabled",
    "poison-page",
    "event-never-delivered",
    "messages-lost",
    "reconciler-stopped",
    "canary-wrong",
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ON_MOTO)
def test_a_fault_is_answered_and_heals_on_moto(name: str) -> None:
    """The same four judgements as in memory."""
    with moto_world() as here:
        seen = run_through(next(fault for fault in FAULTS if fault.name == name), here, after=HOUR)
        assert faults_found(seen) == []


def throttled(world: World) -> Heal:
    """DynamoDB itself refuses every request, idempotency's among them."""

    def refuse(model: Any, **_: Any) -> None:
        world.store.add("AWS/DynamoDB", "WriteThrottleEvents", ATTEMPTS, world.simulation.now, TableName=TABLE)
        raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}, model.name)

    return _refusing("dynamodb", refuse)


def unreachable(world: World) -> Heal:
    """S3 does not answer for the results bucket; the inbox's goes on."""
    results = world.ports.results.bucket

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if f"/{results}" in params["url"] or params["url"].startswith(f"https://{results}."):
            raise EndpointConnectionError(endpoint_url=params["url"])

    return _refusing("s3", refuse)


def _refusing(service: Literal["dynamodb", "s3"], refuse: Callable[..., None]) -> Heal:
    events = client(service).meta.events  # type: ignore[call-overload]
    events.register(f"before-call.{service}", refuse)
    return lambda: events.unregister(f"before-call.{service}", refuse)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "begin"), [("ledger-throttled", throttled), ("results-bucket-failing", unreachable)])
def test_a_failing_aws_is_answered_and_heals(name: str, begin: Callable[[World], Heal]) -> None:
    """The fault struck in boto3: adapters and Powertools meet AWS's own errors."""
    with moto_world() as here:
        fault = replace(next(fault for fault in FAULTS if fault.name == name), begin=begin)
        assert faults_found(run_through(fault, here, after=HOUR)) == []


@pytest.mark.timeout(300)
def test_every_alarmed_metric_of_ours_is_emitted() -> None:
    """In exactly that namespace, under that name, with no dimension: what the handlers wrote in CloudWatch's embedded format says so."""
    with moto_world() as here:
        here.upload_garbage()
        here.upload("oo", faded=True)
        heal = poison_page(here)
        here.upload("h")
        here.simulation.run(5 * MINUTE)
        for mood in (EngineUnavailable("the vision endpoint answered 500"), NONSENSE):
            here.vision.mood = mood
            here.upload("h")
            here.simulation.run(15 * MINUTE)
        heal()
        here.put_on(gpu_service=MemoryService(wanted=1, running=1))  # test_service.py asks moto's ECS
        measure_gpu_service.handler({}, None)
        here.simulation.run(MINUTE)
        wanted = {
            (metric.namespace, metric.name, metric.dimensions)
            for alarm in ALARMS
            for metric in alarm.metrics.values()
            if metric.namespace == OURS
        }
        assert wanted - here.store.keys() == set()


@pytest.mark.timeout(300)
def test_conflicts_of_transactions_are_healed_within_the_invocation() -> None:
    """Every second transaction conflicts, as moto's never do: no message fails, nothing is read twice, everything is delivered."""
    chance = random.Random(4)
    conflicts = 0

    def conflict(**_: Any) -> None:
        nonlocal conflicts
        if chance.random() < 0.5:
            conflicts += 1
            reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
            answer: Any = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}
            raise ClientError(answer, "TransactWriteItems")

    with moto_world() as here:
        client("dynamodb").meta.events.register("before-call.dynamodb.TransactWriteItems", conflict)
        for _ in range(4):
            here.upload("tttoo")
        here.simulation.run(20 * MINUTE)
        assert conflicts > 10
        assert {document.state for document in here.documents() if document} == {"DONE"}
        assert set(here.reader.reads_of.values()) == {1}
        assert here.store.statistic((OURS, "MessagesFailed", ()), "Sum", 0, here.simulation.now) is None
