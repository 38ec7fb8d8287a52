"""The Gpu template as a whole: nothing of it unless asked for, and what is set is done."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.session import get_session

from cdk.deployment import read_deployment
from cdk.gpu_settings import GpuSettings
from escriba.backends import Backend
from escriba.models import catalogue
from tests.documents import ROOT
from tests.infra.conftest import PROD, Template, of_type
from tests.infra.gpu_template import MODEL, SPEC, containers, environment, granted


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
        # Or EC2 would leave out those that cost a fifth more than the cheapest one. The other kind of capacity asks for nothing here.
        prices = {name: value for name, value in rented["InstanceRequirements"].items() if "Price" in name}
        kind = {"ON_DEMAND": "OnDemand", "SPOT": "Spot"}[option]
        assert prices == {f"{kind}MaxPricePercentageOverLowestPrice": 999_999}
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
        (["olmocr-2-7b-fp8"], 'gpu: what is meant is {"model": ...}, and more settings if you like'),
        ({"spot": True}, "model: it is missing; `escriba models list` has the names"),
        ({"model": 7}, "gpu: model: a name of `escriba models list` is meant"),
        ({"model": "olmocr"}, "there is no model 'olmocr' in the registry; did you mean olmocr-2-7b-fp8"),
        ({"model": "gpt-4o"}, "gpt-4o has no weights"),
        ({"model": "qwen3-vl-8b"}, "qwen3-vl-8b does not fit the L4 of g6.2xlarge; it fits L40S"),
        ({"model": "dots-ocr", "instance_types": ["p5.48xlarge"]}, "'p5.48xlarge' is none of g5, g6, g6e"),
        ({"model": "dots-ocr", "instance_types": ["g6.xlarge"]}, "'g6.xlarge' is none of"),
        ({"model": "dots-ocr", "instance_types": "g6.2xlarge"}, 'instance_types: a list is meant, say ["g6.2xlarge"]'),
        ({"model": "dots-ocr", "instance_types": []}, 'instance_types: name at least one, say ["g6.2xlarge"]'),
        ({"model": "dots-ocr", "max_tasks": 21}, "max_tasks: input should be less than or equal to 20"),
        ({"model": "dots-ocr", "weights": "my-weights/ocr"}, "'my-weights/ocr' is no s3://BUCKET/PREFIX"),
        ({"model": "dots-ocr", "cards": 8}, "cards: there is no such setting (docs/deploy.md lists them all)"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(gpu: Any, sentence: str) -> None:
    """In one sentence, before anything is made."""
    with pytest.raises(ValueError, match="is not accepted: gpu") as refused:
        read_deployment({**PROD, "policies": "policies", "monthly_budget_usd": 0, "gpu": gpu})
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_cards_are_not_rented_unless_somebody_hears_of_them() -> None:
    """In dev as well, which may else do without alarms: tasks that start and die are paid for until somebody looks."""
    context = {**PROD, "stage": "dev", "policies": "policies", "monthly_budget_usd": 0}
    assert read_deployment(context).gpu
    assert read_deployment({**context, "alarm_email": "", "gpu": {}}).gpu is None
    with pytest.raises(ValueError, match=r"is not accepted: gpu needs alarm_email: .*ALARM_EMAIL=") as refused:
        read_deployment({**context, "alarm_email": ""})
    assert "\n" not in str(refused.value)


def test_every_setting_stands_on_the_page_with_its_default() -> None:
    """In the table of docs/deploy.md."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    rows = dict(re.findall(r"^\| `gpu\.(\w+)` \| ([^|]*?) ?\|", page, re.MULTILINE))
    assert rows.keys() == GpuSettings.model_fields.keys()
    for name, field in GpuSettings.model_fields.items():
        default = "" if field.is_required() or field.default == "" else json.dumps(field.default)
        assert rows[name].strip("`") == default, name


def test_the_page_says_how_to_stop_paying(others: dict[str, Template]) -> None:
    """Scaling first, or it would start a task again within minutes; then the service, then what is protected. Each is a call of AWS's, on names that exist."""
    page = (ROOT / "docs" / "operations.md").read_text()
    calls = [shlex.split(line) for line in re.findall(r"^ {4}aws ((?:ecs|application-autoscaling) .*)", page, re.MULTILINE)]
    [cluster], [service] = (of_type(others["Gpu"], f"ECS::{kind}").values() for kind in ("Cluster", "Service"))
    names = {"cluster": cluster["ClusterName"], "service": service["ServiceName"], "services": service["ServiceName"]}
    names |= {"service-name": names["service"], "resource-id": f"service/{names['cluster']}/{names['service']}"}
    session, told = get_session(), []
    for api, call, *words in calls:
        model = session.get_service_model(api)
        operation = model.operation_model({xform_name(name, "-"): name for name in model.operation_names}[call])
        flags = {xform_name(name, "-"): shape for name, shape in operation.input_shape.members.items()}
        given = {flag.removeprefix("--"): value for flag, value in itertools.pairwise(words) if flag.startswith("--")}
        assert {xform_name(name, "-") for name in operation.input_shape.required_members} <= given.keys() <= {*flags, "query"}, call
        assert {flag: names[flag] for flag in names.keys() & given.keys()}.items() <= given.items(), call
        if "suspended-state" in given:
            state = dict(part.split("=") for part in given["suspended-state"].split(","))
            assert state.keys() == flags["suspended-state"].members.keys()
            assert len(set(state.values())) == 1
            told.append(f"{call} {state['DynamicScalingInSuspended']}")
        else:
            told.append(call)
    stopping = ["register-scalable-target true", "update-service", "list-tasks", "stop-task", "register-scalable-target false"]
    assert [call for call in told if call in stopping] == stopping


def test_backends_of_a_file_stand_beside_it(tmp_path: Path) -> None:
    """They reach the functions; one that takes its name, or its queue, is refused. Without it, a worker of one's own may read that queue."""
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
    with pytest.raises(ValueError, match="box is in the vision queue, whose GPU service asks no model but its own"):
        told(api.format("box") + 'queue = "vision"\n')
    assert told(api.format("box") + 'queue = "vision"\n', gpu={}) == ["box"]


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
