"""A task of the GPU service: three containers shut in, started and stopped in order, told what a function is told, and allowed little."""

from __future__ import annotations

import importlib.util
from typing import Any

from escriba.models import VLLM_VERSION
from escriba.settings import Settings
from tests.documents import ROOT
from tests.infra.conftest import Template, filled, of_type
from tests.infra.gpu_template import MODEL, SPEC, containers, environment, granted, listed, named

NOTICE = 120
"""Seconds between a spot instance's notice and its end."""


def test_both_containers_are_shut_in(gpu: Template) -> None:
    """Nobody's user, a file system to read, no capability; memory for scratch, one volume for what is fetched, which the worker may only read."""
    made = containers(gpu)
    assert list(made) == ["weights", "vllm", "worker"]
    for name, container in made.items():
        assert (container["User"], container["ReadonlyRootFilesystem"]) == ("65534:65534", True)
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert {mount["ContainerPath"] for mount in container["LinuxParameters"]["Tmpfs"]} == {"/tmp"}  # noqa: S108  (in memory)
        [mount] = container["MountPoints"]
        assert (mount["ContainerPath"], mount["ReadOnly"]) == ("/cache", name == "worker")
        assert not container.get("Privileged")
        assert "Secrets" not in container
        assert container["LogConfiguration"]["LogDriver"] == "awslogs"
    scratch = sum(mount["Size"] for container in made.values() for mount in container["LinuxParameters"]["Tmpfs"])
    [task] = of_type(gpu, "ECS::TaskDefinition").values()
    assert scratch + made["worker"]["MemoryReservation"] < int(task["Memory"]) < 32 * 1024
    assert task["RequiresCompatibilities"] == ["MANAGED_INSTANCES"]


def test_the_server_is_vllm_as_the_registry_serves_it(gpu: Template) -> None:
    """The image by its version, with the model's flags, from the folder that the fetching fills; one card; heard inside the task alone."""
    made = containers(gpu)
    server, fetched = made["vllm"], environment(made["weights"])
    assert server["Image"]["Fn::Join"][1][-1] == f":v{VLLM_VERSION}"
    folder = f"{fetched['MODEL_CACHE']}/{MODEL.name}/{MODEL.revision}"
    assert (server["EntryPoint"], tuple(server["Command"][: len(MODEL.serve(folder))])) == (["vllm", "serve"], MODEL.serve(folder))
    assert "--host 127.0.0.1 --port 8000" in " ".join(server["Command"])
    assert server["ResourceRequirements"] == [{"Type": "GPU", "Value": "1"}]
    assert environment(server)["HF_HUB_OFFLINE"] == "1"
    assert (fetched["MODEL"], fetched["MODEL_PREFIX"]) == (MODEL.name, "weights")
    [repository] = of_type(gpu, "ECR::Repository").values()
    assert repository["ImageTagMutability"] == "IMMUTABLE"


def test_the_commands_are_modules_that_are_there(gpu: Template) -> None:
    """Of the worker's image, by its own entry point."""
    for name, module in (("weights", "gpu_service.weights"), ("worker", "gpu_service")):
        container = containers(gpu)[name]
        assert (container["EntryPoint"], container["Command"]) == (["python", "-m"], [module])
        assert importlib.util.find_spec(module) is not None
    assert 'ENTRYPOINT ["python", "-m"]' in (ROOT / "gpu_service" / "Dockerfile").read_text()


def test_they_start_and_stop_in_order(gpu: Template) -> None:
    """Weights, then the server, then the worker; the worker ends first, and both within a spot instance's notice. Each is asked for its health."""
    made = containers(gpu)
    assert (made["weights"]["Essential"], made["vllm"]["Essential"], made["worker"]["Essential"]) == (False, True, True)
    assert made["vllm"]["DependsOn"] == [{"ContainerName": "weights", "Condition": "SUCCESS"}]
    assert made["worker"]["DependsOn"] == [{"ContainerName": "vllm", "Condition": "START"}]
    assert made["worker"]["StopTimeout"] == SPEC.stop
    assert made["worker"]["StopTimeout"] + made["vllm"]["StopTimeout"] < NOTICE
    # By default a server that dies within five minutes of its start is not started again, and takes the task with it; 60 seconds are the least.
    assert made["vllm"]["RestartPolicy"] == {"Enabled": True, "RestartAttemptPeriod": 60}
    for name in ("vllm", "worker"):
        check = made[name]["HealthCheck"]
        assert (check["Command"][0], check["StartPeriod"]) == ("CMD", SPEC.start)
        compile(check["Command"][-1], name, "exec")


def test_what_calls_aws_is_told_its_region(gpu: Template) -> None:
    """Clients of AWS take it from this variable alone; Lambda sets it by itself, ECS does not."""
    told = {name: environment(container).get("AWS_DEFAULT_REGION") for name, container in containers(gpu).items()}
    assert told == {"weights": {"Ref": "AWS::Region"}, "worker": {"Ref": "AWS::Region"}, "vllm": None}


def test_the_worker_is_told_what_a_function_is_told(gpu: Template, prod: Template) -> None:
    """The same queues, bucket, ledger and backends: its environment makes the same `Settings`, but for the memory of its reader."""

    def settings(template: Template, variables: dict[str, Any]) -> Settings:
        return Settings.from_env(filled(template, variables))

    worker = settings(gpu, environment(containers(gpu)["worker"]))
    [function] = [f for name, f in of_type(prod, "Lambda::Function").items() if name.startswith("readwithapi")]
    ours = settings(prod, function["Environment"]["Variables"])
    assert worker.queues.keys() == ours.queues.keys()
    assert (worker.backends, worker.policies, worker.metric_namespace) == (ours.backends, ours.policies, ours.metric_namespace)
    assert worker.backends[0].queue == "vision"


def test_a_task_may_do_its_work_and_no_more(gpu: Template) -> None:
    """Its queue; where a page goes on to; its row; original, readings and weights; the key; that it is busy. Nothing on everything."""
    verbs: dict[str, set[str]] = {}
    for action, resource in granted(gpu, "TaskRole"):
        verbs.setdefault(action.partition(":")[0], set()).add(f"{action.partition(':')[2]} {named(resource)}")
    assert verbs["sqs"] == {
        *(f"{verb} vision" for verb in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility", "SendMessage")),
        *(f"SendMessage {queue}" for queue in ("assemble", "visionapi", "visiondlq")),
    }
    assert verbs["dynamodb"] == {"GetItem ledger", "UpdateItem ledger"}
    assert verbs["s3"] == {
        "ListBucket results",
        "GetObject results/originals/*",
        "GetObject results/readings/*",
        f"GetObject results/weights/models/{MODEL.name}/{MODEL.revision}/*",
        "PutObject results/readings/*",
        "AbortMultipartUpload results/readings/*",
    }
    assert {verb.partition(" ")[2] for verb in verbs["kms"]} == {"key"}
    assert verbs["ecs"] == {f"{verb}TaskProtection tasks of escriba-prod" for verb in ("Get", "Update")}
    assert verbs.keys() == {"sqs", "dynamodb", "s3", "kms", "ecs"}
    assert [resource for action, resource in granted(gpu, "TaskExecutionRole") if resource == "*"] == ["*"]  # ecr:GetAuthorizationToken
    [measure] = [p for name, p in of_type(gpu, "IAM::Policy").items() if name.startswith("measuregpuserviceRole")]
    asked = {
        action
        for s in measure["PolicyDocument"]["Statement"]
        for action in listed(s["Action"])
        if not action.startswith(("logs:", "xray:"))
    }
    assert asked == {"sqs:GetQueueAttributes", "ecs:DescribeServices"}
