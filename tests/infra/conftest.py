"""The stacks, synthesised once a session and stage, and their template with CloudFormation's functions filled in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdk.app import NO_BUNDLING, build

Template = dict[str, Any]
Found = dict[str, dict[str, Any]]
Synthesise = Callable[..., Template]


@pytest.fixture(scope="session")
def synthesise(tmp_path_factory: pytest.TempPathFactory) -> Synthesise:
    """The Core template for a context."""

    def template(**context: Any) -> Template:
        out = tmp_path_factory.mktemp("cdk")
        build({**NO_BUNDLING, **context}, str(out)).synth()
        core: Template = json.loads((out / "Core.template.json").read_text())
        return core

    return template


def all_templates(out: Path, **context: Any) -> dict[str, Template]:
    """Every stack's, by its name."""
    build({**NO_BUNDLING, **context}, str(out)).synth()
    return {path.name.removesuffix(".template.json"): json.loads(path.read_text()) for path in out.glob("*.template.json")}


@pytest.fixture(scope="session")
def dev_stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """Every template of a stage for which nothing was set."""
    return all_templates(tmp_path_factory.mktemp("cdk"), stage="dev")


@pytest.fixture(scope="session")
def dev(dev_stacks: dict[str, Template]) -> Template:
    return dev_stacks["Core"]


PROD = {"stage": "prod", "architecture": "arm64", "alarm_email": "ops@example.org", "gpu": {"model": "olmocr-2-7b-fp8"}}
"""A stage with everything there is; dev has neither alarms nor a GPU service unless it is told to."""


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """Every template of a stage that has alarms and a GPU service, by its stack."""
    return all_templates(tmp_path_factory.mktemp("cdk"), **PROD)


@pytest.fixture(scope="session")
def prod(stacks: dict[str, Template]) -> Template:
    return stacks["Core"]


@pytest.fixture(scope="session")
def watch(stacks: dict[str, Template]) -> Template:
    """The Observability template."""
    return stacks["Observability"]


@pytest.fixture(scope="session")
def gpu(stacks: dict[str, Template]) -> Template:
    """The Gpu template."""
    return stacks["Gpu"]


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """Every template of another stage, whose GPU service has everything set that can be."""
    settings = {"model": "dots-ocr", "instance_types": ["g6.4xlarge"], "spot": True, "max_tasks": 2, "weights": "s3://my-weights/ocr/"}
    return all_templates(tmp_path_factory.mktemp("cdk"), stage="dev", alarm_email="ops@example.org", gpu=json.dumps(settings))


def of_type(template: Template, kind: str) -> Found:
    """Properties by logical id."""
    return {name: r.get("Properties", {}) for name, r in template["Resources"].items() if r["Type"] == f"AWS::{kind}"}


def filled(template: Template, value: Any) -> Any:
    """A value of the template as it is after deployment: a physical name, or a made-up one, for each reference."""
    filling: Any = value
    match value:
        case {"Ref": str(name)}:
            filling = _reference(template, name)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            filling = ("arn:aws:x:eu-west-1:123456789012:" if attribute == "Arn" else "") + _reference(template, name)
        case {"Fn::Join": [str(glue), list(parts)]}:
            filling = glue.join(filled(template, part) for part in parts)
        case {"Fn::ImportValue": str(export)}:
            filling = export.partition(":")[2]  # its name holds the logical name of what another stack exports
        case {"Fn::Sub": str(text)}:
            filling = text
        case dict():
            filling = {key: filled(template, part) for key, part in value.items()}
        case list():
            filling = [filled(template, part) for part in value]
    return filling


def _reference(template: Template, name: str) -> str:
    pseudo = {"AWS::AccountId": "123456789012", "AWS::Region": "eu-west-1", "AWS::Partition": "aws"}
    if name in pseudo:
        return pseudo[name]
    return str(template["Resources"][name].get("Properties", {}).get("QueueName", name))


def queue_name(template: Template, arn: Any) -> str:
    """The short name of the queue that an ARN in the template names."""
    return str(filled(template, arn)).rpartition("--")[2]
