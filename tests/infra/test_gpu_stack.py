"""The Gpu template: nothing of it unless asked for, no way to the internet, a door to each AWS service that is called and to no other, tasks that may do little."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdk import app
from cdk.app import NO_BUNDLING, build
from cdk.deployment import read_deployment
from cdk.gpu_settings import GpuSettings
from cdk.network import GATEWAYS, HOURS_A_MONTH, INTERFACES, PRICE
from escriba.backends import Backend
from escriba.models import VLLM_VERSION, catalogue
from escriba.settings import Settings
from escriba.topology import TOPOLOGY
from tests.documents import ROOT
from tests.infra.conftest import PROD, Template, all_templates, filled, of_type

SPEC = TOPOLOGY.services[0]
MODEL = catalogue()["olmocr-2-7b-fp8"]
NOTICE = 120
"""Seconds between a spot instance's notice and its end."""


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """Another stage, with everything set that can be."""
    settings = {"model": "dots-ocr", "instance_types": ["g6.4xlarge"], "spot": True, "max_tasks": 2, "weights": "s3://my-weights/ocr/"}
    return all_templates(tmp_path_factory.mktemp("cdk"), stage="dev", gpu=json.dumps(settings))


def containers(gpu: Template) -> dict[str, dict[str, Any]]:
    [task] = of_type(gpu, "ECS::TaskDefinition").values()
    return {container["Name"]: container for container in task["ContainerDefinitions"]}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {variable["Name"]: variable["Value"] for variable in container["Environment"]}


def test_there_is_none_unless_it_is_asked_for(dev_stacks: dict[str, Template], stacks: dict[str, Template]) -> None:
    """By default one stack, no function that knows of a vision model, nothing of ECS or a network; named, it is a stack of its own."""
    assert dev_stacks.keys() == {"Core"}
    assert stacks.keys() == {"Core", "Observability", "Gpu"}
    for function in of_type(dev_stacks["Core"], "Lambda::Function").values():
        assert function["Environment"]["Variables"]["ESCRIBA_BACKENDS"] == "[]"
    for name in ("Core", "Observability"):
        kinds = {resource["Type"] for resource in stacks[name]["Resources"].values()}
        assert not {kind for kind in kinds if kind.startswith(("AWS::ECS::", "AWS::EC2::", "AWS::ECR::"))}


def test_whoever_routes_pages_is_told_of_it(prod: Template) -> None:
    """Every function has it among its backends: our own, in the vision queue, at zero until it is needed."""
    told = {function["Environment"]["Variables"]["ESCRIBA_BACKENDS"] for function in of_type(prod, "Lambda::Function").values()}
    [backend] = [Backend.model_validate(entry) for text in told for entry in json.loads(text)]
    assert (backend.queue, backend.external, backend.start_seconds) == ("vision", False, SPEC.start)
    assert (backend.base_url, backend.model, backend.served_as) == ("http://127.0.0.1:8000/v1", MODEL.name, MODEL.name)


def test_nothing_leads_to_the_internet(gpu: Template, others: dict[str, Template]) -> None:
    """No gateway but to S3 and DynamoDB, no route of any kind, no public address; what runs there may call port 443 and be called by nobody."""
    for template in (gpu, others["Gpu"]):
        kinds = {resource["Type"].removeprefix("AWS::EC2::") for resource in template["Resources"].values()}
        assert not {kind for kind in kinds if "Gateway" in kind or kind in {"Route", "EIP", "VPCPeeringConnection", "VPNConnection"}}
        assert {subnet["MapPublicIpOnLaunch"] for subnet in of_type(template, "EC2::Subnet").values()} == {False}
        [service] = of_type(template, "ECS::Service").values()
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        [tasks] = [group["Fn::GetAtt"][0] for group in network["SecurityGroups"]]
        [provider] = of_type(template, "ECS::CapacityProvider").values()
        rented = provider["ManagedInstancesProvider"]["InstanceLaunchTemplate"]["NetworkConfiguration"]
        assert (rented["Subnets"], rented["SecurityGroups"]) == (network["Subnets"], network["SecurityGroups"])
        groups = of_type(template, "EC2::SecurityGroup")
        assert [(e["IpProtocol"], e["FromPort"], e["ToPort"]) for e in groups[tasks]["SecurityGroupEgress"]] == [("tcp", 443, 443)]
        assert "SecurityGroupIngress" not in groups[tasks]


def interfaces(gpu: Template) -> dict[str, dict[str, Any]]:
    """Interface endpoints and gateways by the service's name."""
    found = {}
    for endpoint in of_type(gpu, "EC2::VPCEndpoint").values():
        name = str(filled(gpu, endpoint["ServiceName"])).partition("com.amazonaws.eu-west-1.")[2]
        found[name] = endpoint
    return found


CALLED_THROUGH = {
    "sqs": {"sqs"},
    "s3": {"s3"},
    "dynamodb": {"dynamodb"},
    "ecs": {"ecs", "ecs-agent", "ecs-telemetry"},
    "ecr": {"ecr.api", "ecr.dkr", "s3"},
    "logs": {"logs"},
    "kms": set(),  # S3, SQS and DynamoDB use the key in the caller's name, from where they are
}
"""The endpoints that calls of a service go through, by the first part of its IAM actions."""


def test_there_is_a_door_for_every_call_and_for_no_other(gpu: Template) -> None:
    """What the roles of task, start and instance may call is what the endpoints lead to: a permission more asks for a door more, and the other way."""
    called = {action.partition(":")[0] for role in ("TaskRole", "TaskExecutionRole", "Capacity") for action, _ in granted(gpu, role)}
    assert called == CALLED_THROUGH.keys()
    assert interfaces(gpu).keys() == set().union(*CALLED_THROUGH.values()) == INTERFACES.keys() | GATEWAYS.keys()


def test_the_doors_open_to_tasks_alone(gpu: Template) -> None:
    """Interface endpoints under AWS's own names, in one zone, behind a group that only the tasks' may call; gateways in every route table."""
    tables = [{"Ref": name} for name in of_type(gpu, "EC2::RouteTable")]
    for name, endpoint in interfaces(gpu).items():
        if name in GATEWAYS:
            assert (endpoint["VpcEndpointType"], endpoint["RouteTableIds"]) == ("Gateway", tables)
            continue
        assert (endpoint["VpcEndpointType"], endpoint["PrivateDnsEnabled"], len(endpoint["SubnetIds"])) == ("Interface", True, 1)
        [doors] = [group["Fn::GetAtt"][0] for group in endpoint["SecurityGroupIds"]]
        [rule] = of_type(gpu, "EC2::SecurityGroupIngress").values()
        assert rule["GroupId"]["Fn::GetAtt"][0] == doors
        assert rule["SourceSecurityGroupId"]["Fn::GetAtt"][0].startswith("NetworkTasks")
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
        assert "SecurityGroupIngress" not in of_type(gpu, "EC2::SecurityGroup")[doors]


def test_the_idle_bill_is_told(gpu: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command that writes the templates, by the stack's outputs and by the page, from the same dated price."""
    endpoints = sum(len(e.get("SubnetIds", ())) for e in of_type(gpu, "EC2::VPCEndpoint").values())
    usd = f"{endpoints * PRICE.usd_per_hour * HOURS_A_MONTH:.2f}"
    made = build({**NO_BUNDLING, **PROD}, str(tmp_path))
    monkeypatch.setattr(app, "build", lambda *_: made)
    app.main()
    assert capsys.readouterr().out == f"Gpu: {gpu['Outputs']['IdleBill']['Value']}\n"
    assert f"{usd} USD a month" in gpu["Outputs"]["IdleBill"]["Value"]
    assert str(PRICE.dated) in gpu["Outputs"]["IdleBill"]["Value"]
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert f"{len(INTERFACES)} interface endpoints" in page
    assert usd in page


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
    assert made["vllm"]["RestartPolicy"] == {"Enabled": True}
    for name in ("vllm", "worker"):
        check = made[name]["HealthCheck"]
        assert (check["Command"][0], check["StartPeriod"]) == ("CMD", SPEC.start)
        compile(check["Command"][-1], name, "exec")


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


def granted(gpu: Template, role: str) -> Iterator[tuple[str, str]]:
    """Action and resource of each statement of the role whose name begins so, its inline policies included."""
    documents = [p["PolicyDocument"] for name, p in of_type(gpu, "IAM::Policy").items() if name.startswith(f"Service{role}DefaultPolicy")]
    roles = [r for name, r in of_type(gpu, "IAM::Role").items() if name.startswith(f"Service{role}")]
    documents += [policy["PolicyDocument"] for r in roles for policy in r.get("Policies", ())]
    for statement in (s for document in documents for s in document["Statement"]):
        assert statement["Effect"] == "Allow"
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield action, str(filled(gpu, resource))


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
        for action in _listed(s["Action"])
        if not action.startswith(("logs:", "xray:"))
    }
    assert asked == {"sqs:GetQueueAttributes", "ecs:DescribeServices"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def named(resource: str) -> str:
    """An export's name, or an ARN, as a word: `ExportsOutputFnGetAttQueuesvision89719E15Arn3E89A998` is `vision`."""
    if resource.endswith(":task/escriba-prod/*"):
        return "tasks of escriba-prod"
    export, slash, rest = resource.partition("/")
    words = {"BucketsResults": "results", "TablesLedger": "ledger", "EncryptionKey": "key"}
    name = export.removeprefix("ExportsOutputFnGetAtt")
    for logical, word in words.items():
        if name.startswith(logical):
            return word + slash + rest
    return name.removeprefix("Queues")[: name.removeprefix("Queues").index("Arn") - 8]


def test_what_is_set_is_done(others: dict[str, Template], gpu: Template) -> None:
    """Spot or on demand, these instances with one NVIDIA card, so many tasks at most, these weights from there."""
    for template, option, types, most in (
        (gpu, "ON_DEMAND", ["g6.2xlarge", "g6e.2xlarge", "g5.2xlarge"], SPEC.max_tasks),
        (others["Gpu"], "SPOT", ["g6.4xlarge"], 2),
    ):
        [provider] = of_type(template, "ECS::CapacityProvider").values()
        rented = provider["ManagedInstancesProvider"]["InstanceLaunchTemplate"]
        assert (rented["CapacityOptionType"], rented["InstanceRequirements"]["AllowedInstanceTypes"]) == (option, types)
        assert rented["InstanceRequirements"]["AcceleratorCount"] == {"Min": 1, "Max": 1}
        assert rented["InstanceRequirements"]["AcceleratorManufacturers"] == ["nvidia"]
        [target] = of_type(template, "ApplicationAutoScaling::ScalableTarget").values()
        assert target["MaxCapacity"] == most
        [service] = of_type(template, "ECS::Service").values()
        assert (service["DesiredCount"], service["DeploymentConfiguration"]["MaximumPercent"]) == (0, 100)
    model = catalogue()["dots-ocr"]
    assert (environment(containers(others["Gpu"])["weights"])["MODEL_BUCKET"]) == "my-weights"
    reads = {resource for action, resource in granted(others["Gpu"], "TaskRole") if action == "s3:GetObject"}
    assert f"arn:aws:s3:::my-weights/ocr/models/{model.name}/{model.revision}/*" in reads


@pytest.mark.parametrize(
    ("gpu", "sentence"),
    [
        ("olmocr-2-7b-fp8", "on the command line it is JSON"),
        ({"spot": True}, "model: field required"),
        ({"model": "olmocr"}, "there is no model 'olmocr' in the registry; did you mean olmocr-2-7b-fp8"),
        ({"model": "gpt-4o"}, "gpt-4o has no weights"),
        ({"model": "qwen3-vl-8b"}, "qwen3-vl-8b does not fit the L4 of g6.2xlarge; it fits L40S"),
        ({"model": "dots-ocr", "instance_types": ["p5.48xlarge"]}, "'p5.48xlarge' is none of g5, g6, g6e"),
        ({"model": "dots-ocr", "instance_types": ["g6.xlarge"]}, "'g6.xlarge' is none of"),
        ({"model": "dots-ocr", "instance_types": []}, "instance_types"),
        ({"model": "dots-ocr", "max_tasks": 21}, "max_tasks: input should be less than or equal to 20"),
        ({"model": "dots-ocr", "weights": "my-weights/ocr"}, "'my-weights/ocr' is no s3://BUCKET/PREFIX"),
        ({"model": "dots-ocr", "cards": 8}, "cards: extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(gpu: Any, sentence: str) -> None:
    """In one sentence, before anything is made."""
    with pytest.raises(ValueError, match="is not accepted: gpu") as refused:
        read_deployment({**PROD, "policies": "policies", "monthly_budget_usd": 0, "gpu": gpu})
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_setting_stands_on_the_page_with_its_default() -> None:
    """In the table of docs/deploy.md."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    rows = dict(re.findall(r"^\| `gpu\.(\w+)` \| ([^|]*?) ?\|", page, re.MULTILINE))
    assert rows.keys() == GpuSettings.model_fields.keys()
    for name, field in GpuSettings.model_fields.items():
        default = "" if field.is_required() or field.default == "" else json.dumps(field.default)
        assert rows[name].strip("`") == default, name


def test_backends_of_a_file_stand_beside_it(tmp_path: Path) -> None:
    """They reach the functions; one that takes its name, or that nobody would ask, is refused."""
    context = {**PROD, "policies": "policies", "monthly_budget_usd": 0}

    def told(text: str, **more: Any) -> list[str]:
        (tmp_path / "backends.toml").write_text("[[backend]]\n" + text)
        deployment = read_deployment({**context, "backends": str(tmp_path / "backends.toml"), **more})
        return [backend.name for backend in deployment.load_backends()]

    api = 'name = "{}"\nbase_url = "https://api.example.org/v1"\nmodel = "gpt-4o"\n'
    assert told(api.format("api")) == ["api", "gpu-service"]
    assert told(api.format("gpu-service"), gpu={}) == ["gpu-service"]
    with pytest.raises(ValueError, match="gpu-service is the name of the GPU service's own"):
        told(api.format("gpu-service"))
    with pytest.raises(ValueError, match="box is in the vision queue, which only the GPU service reads"):
        told(api.format("box") + 'queue = "vision"\n')


def test_cloudformation_knows_every_property_of_it(gpu: Template, others: dict[str, Template]) -> None:
    """cfn-lint: no error."""
    from cfnlint.api import lint_all

    for template in (gpu, others["Gpu"]):
        found = {(match.rule.id, match.message) for match in lint_all(json.dumps(template))}
        # W3005: a dependency said twice, by the CDK. W6001: an output that says what another stack has.
        assert {(rule, text) for rule, text in found if not rule.startswith("I") and rule not in {"W3005", "W6001"}} == set()


def test_everything_of_it_is_tagged(gpu: Template) -> None:
    """Cost reports find project and stage, of instances too."""
    for kind in ("ECS::Cluster", "ECS::Service", "ECS::CapacityProvider", "ECR::Repository", "Lambda::Function", "EC2::VPCEndpoint"):
        for resource in of_type(gpu, kind).values():
            tags = {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
            assert {"project": "escriba", "stage": "prod"}.items() <= tags.items(), kind
    [provider] = of_type(gpu, "ECS::CapacityProvider").values()
    assert provider["ManagedInstancesProvider"]["PropagateTags"] == "CAPACITY_PROVIDER"
