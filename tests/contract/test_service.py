"""The port Service on memory and on moto's ECS, and the function that measures through it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import boto3
import pytest

from escriba.aws.clients import client, forget_clients
from escriba.aws.ecs import EcsService
from escriba.errors import NotFound
from escriba.local.embedded_aws import embedded_aws
from escriba.memory.service import MemoryService
from escriba.ports import Service, Tasks
from escriba.settings import Settings
from escriba.topology import TOPOLOGY
from lambdas.entry import release_worker
from lambdas.measure_gpu_service import handler

MakeService = Callable[[int], Service]


@pytest.fixture
def aws() -> Iterator[Settings]:
    with embedded_aws(TOPOLOGY) as settings:
        boto3.client("ecs").create_cluster(clusterName="gpu")
        yield settings
        release_worker()
        forget_clients()


def on_ecs(wanted: int) -> Service:
    ecs = boto3.client("ecs")
    ecs.register_task_definition(family="task", containerDefinitions=[{"name": "worker", "image": "worker", "memory": 64}])
    ecs.create_service(cluster="gpu", serviceName="readers", taskDefinition="task", desiredCount=wanted)
    return EcsService(client("ecs"), "gpu/readers")


@pytest.fixture(params=["memory", "ecs"])
def make(request: pytest.FixtureRequest) -> Iterator[MakeService]:
    if request.param == "memory":
        yield MemoryService
        return
    request.getfixturevalue("aws")
    yield on_ecs


@pytest.mark.parametrize("wanted", [0, 3])
def test_a_service_tells_how_many_tasks_are_wanted(make: MakeService, wanted: int) -> None:
    """As many as it was told to have; on moto, as in memory until somebody says otherwise, none ever runs."""
    assert make(wanted).tasks() == Tasks(wanted=wanted, running=0)


def test_a_service_that_is_not_there_is_not_found(aws: Settings) -> None:
    """Neither one that never was, nor one that was deleted, nor one in a cluster that is not there is at zero tasks."""
    on_ecs(0)
    boto3.client("ecs").delete_service(cluster="gpu", service="readers")
    for name in ("gpu/readers", "gpu/others", "none/readers"):
        with pytest.raises(NotFound, match=name):
            EcsService(client("ecs"), name).tasks()


def test_the_function_measures_queue_and_service(
    aws: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its metrics, in CloudWatch's embedded format, in the deployment's namespace."""
    on_ecs(2)
    client("sqs").send_message(QueueUrl=aws.queues["vision"], MessageBody="a page")
    told = aws.model_copy(update={"gpu_service": "gpu/readers", "metric_namespace": "Escriba/test", "telemetry_file": ""})
    for name, value in told.to_env().items():
        monkeypatch.setenv(name, value)
    release_worker()
    assert handler(json.loads('{"time": "2026-11-28T12:00:00Z"}'), None) == {}
    found = {}
    for line in capsys.readouterr().out.splitlines():
        [directive] = json.loads(line)["_aws"]["CloudWatchMetrics"]
        [metric] = directive["Metrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == ("Escriba/test", [[]])
        found[metric["Name"]] = json.loads(line)[metric["Name"]]
    assert found == {"VisionBacklog": [1.0], "GpuTasksWanted": [2.0], "GpuTasksRunning": [0.0], "VisionBacklogPerTask": [0.5]}
