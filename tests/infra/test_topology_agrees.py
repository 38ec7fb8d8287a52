"""The template says what the topology says, no more and no less: either is read back from the other."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter
from typing import Any

import pytest

from escriba.aws.clients import client
from escriba.local.embedded_aws import embedded_aws
from escriba.topology import TOPOLOGY, FunctionSpec, QueueSpec, Topology
from tests.infra.conftest import Template, filled, of_type, queue_name


def topology_of(template: Template) -> tuple[set[QueueSpec], set[FunctionSpec]]:
    """Every queue, dead-letter queues included, and every function with what its mappings say."""
    queues = {_queue(template, queue) for queue in of_type(template, "SQS::Queue").values()}
    return queues, {_function(template, name, function) for name, function in of_type(template, "Lambda::Function").items()}


def _queue(template: Template, queue: dict[str, Any]) -> QueueSpec:
    name, redrive = queue["QueueName"].rpartition("--")[2], queue.get("RedrivePolicy")
    if redrive:
        assert queue_name(template, redrive["deadLetterTargetArn"]) == f"{name}-dlq"
    receives = redrive["maxReceiveCount"] if redrive else 3
    return QueueSpec(name, queue["VisibilityTimeout"], receives, queue["MessageRetentionPeriod"], dead_letters=bool(redrive))


def _function(template: Template, logical: str, function: dict[str, Any]) -> FunctionSpec:
    mappings = [m for m in of_type(template, "Lambda::EventSourceMapping").values() if m["FunctionName"] == {"Ref": logical}]
    batches = {mapping["BatchSize"] for mapping in mappings}
    concurrency = {mapping["ScalingConfig"]["MaximumConcurrency"] for mapping in mappings}
    assert all(mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for mapping in mappings)
    command = function.get("Handler") or function["ImageConfig"]["Command"][0]
    name = command.split(".")[1]
    every = _every(template, logical)
    if every:
        assert not mappings
        return FunctionSpec(name, (), function["Timeout"], function["MemorySize"], every=every)
    assert (len(batches), len(concurrency)) == (1, 1)
    consumes = tuple(sorted(queue_name(template, mapping["EventSourceArn"]) for mapping in mappings))
    return FunctionSpec(name, consumes, function["Timeout"], function["MemorySize"], batches.pop(), max_concurrency=concurrency.pop())


def _every(template: Template, logical: str) -> float:
    """Seconds between two runs of a function, by the one schedule that it has; 0 for none."""
    schedules = [s for s in of_type(template, "Scheduler::Schedule").values() if s["Target"]["Arn"] == {"Fn::GetAtt": [logical, "Arn"]}]
    if not schedules:
        return 0
    [schedule] = schedules
    assert schedule.get("State", "ENABLED") == "ENABLED"
    minutes = re.fullmatch(r"rate\((\d+) minutes\)", schedule["ScheduleExpression"])
    assert minutes
    return 60 * int(minutes[1])


def said_by(topology: Topology) -> tuple[set[QueueSpec], set[FunctionSpec]]:
    # That one waits for others is the local dispatcher's business.
    functions = {replace(function, consumes=tuple(sorted(function.consumes)), waits=False) for function in topology.functions}
    return set(topology.all_queues()), functions


def test_the_template_is_the_topology(dev: Template, prod: Template) -> None:
    """In every stage: the same queues, mappings, timeouts, batch sizes and concurrency."""
    assert topology_of(dev) == said_by(TOPOLOGY)
    assert topology_of(prod) == said_by(TOPOLOGY)
    assert len(of_type(dev, "Lambda::EventSourceMapping")) == 9


def test_what_measures_a_service_comes_with_it(dev: Template, gpu: Template) -> None:
    """The Gpu stack has this one function as the topology says, the Core stack none of it, and neither queues of its own."""
    assert topology_of(gpu) == (set(), {service.measured for service in TOPOLOGY.services})
    assert not {service.measured.name for service in TOPOLOGY.services} & {function.name for function in topology_of(dev)[1]}


def _set(kind: str, number: int, *path: str, to: Any) -> Callable[[Template], None]:
    def change(template: Template) -> None:
        place = list(of_type(template, kind).values())[number]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def _drop(kind: str) -> Callable[[Template], None]:
    return lambda template: template["Resources"].pop(next(iter(of_type(template, kind))))


MAPPING, QUEUE, FUNCTION = "Lambda::EventSourceMapping", "SQS::Queue", "Lambda::Function"
EXTRA = {"QueueName": "escriba-dev--extra", "VisibilityTimeout": 1, "MessageRetentionPeriod": 1}


@pytest.mark.parametrize(
    "change",
    [
        _set(MAPPING, 0, "BatchSize", to=2),
        _set(MAPPING, 1, "ScalingConfig", "MaximumConcurrency", to=5),
        _set(MAPPING, 3, "EventSourceArn", to="arn:x--pages"),
        _set(MAPPING, 2, "FunctionResponseTypes", to=[]),
        _set(QUEUE, 4, "VisibilityTimeout", to=30),
        _set(QUEUE, 5, "RedrivePolicy", "maxReceiveCount", to=4),
        _set(QUEUE, 6, "RedrivePolicy", to=None),
        _set(QUEUE, 0, "MessageRetentionPeriod", to=60),
        _set(QUEUE, 0, "QueueName", to="escriba-dev--other"),
        _set(FUNCTION, 0, "Timeout", to=10),
        _set(FUNCTION, 2, "MemorySize", to=128),
        _drop(MAPPING),
        _drop(QUEUE),
        _drop(FUNCTION),
        lambda template: template["Resources"].update(extra={"Type": "AWS::SQS::Queue", "Properties": EXTRA}),
    ],
)
def test_a_template_that_says_something_else_is_seen(dev: Template, change: Callable[[Template], None]) -> None:
    """Extra, missing or changed: it is not the topology any more."""
    other = copy.deepcopy(dev)
    change(other)
    with pytest.raises((AssertionError, KeyError)):
        assert topology_of(other) == said_by(TOPOLOGY)


_QUEUES, _FUNCTIONS = TOPOLOGY.queues, TOPOLOGY.functions


@pytest.mark.parametrize(
    "other",
    [
        Topology((*_QUEUES, QueueSpec("other", 60)), _FUNCTIONS),
        Topology(_QUEUES[1:], _FUNCTIONS),
        Topology((replace(_QUEUES[0], visibility=60), *_QUEUES[1:]), _FUNCTIONS),
        Topology((replace(_QUEUES[0], max_receives=9), *_QUEUES[1:]), _FUNCTIONS),
        Topology(_QUEUES, _FUNCTIONS[1:]),
        Topology(_QUEUES, (replace(_FUNCTIONS[0], timeout=60), *_FUNCTIONS[1:])),
        Topology(_QUEUES, (replace(_FUNCTIONS[0], batch_size=4), *_FUNCTIONS[1:])),
        Topology(_QUEUES, (replace(_FUNCTIONS[0], max_concurrency=4), *_FUNCTIONS[1:])),
        Topology(_QUEUES, (replace(_FUNCTIONS[0], consumes=("pages",)), *_FUNCTIONS[1:])),
        Topology(_QUEUES, (*_FUNCTIONS[:-1], replace(_FUNCTIONS[-1], every=60))),
    ],
)
def test_a_topology_that_says_something_else_is_seen(dev: Template, other: Topology) -> None:
    """The other way round: what only the topology has is missed in the template."""
    assert topology_of(dev) != said_by(other)


def test_the_names_survive_the_way_back(dev: Template) -> None:
    """Handlers know a queue by the end of its name."""
    assert {filled(dev, {"Ref": logical}).rpartition("--")[0] for logical in of_type(dev, "SQS::Queue")} == {"escriba-dev"}


def test_the_local_run_has_the_same_tables(dev: Template) -> None:
    """What `escriba run` makes in its embedded AWS has the keys of what is deployed."""
    with embedded_aws(TOPOLOGY) as settings:
        for table, logical in ((settings.ledger_table, "TablesLedger"), (settings.idempotency_table, "TablesIdempotency")):
            made = client("dynamodb").describe_table(TableName=table)["Table"]
            [deployed] = [t for name, t in of_type(dev, "DynamoDB::Table").items() if name.startswith(logical)]
            assert made["KeySchema"] == deployed["KeySchema"]
            by_name = itemgetter("AttributeName")
            assert sorted(made["AttributeDefinitions"], key=by_name) == sorted(deployed["AttributeDefinitions"], key=by_name)
            indexes = [
                {key: index[key] for key in ("IndexName", "KeySchema", "Projection")} for index in made.get("GlobalSecondaryIndexes", ())
            ]
            assert indexes == deployed.get("GlobalSecondaryIndexes", [])
