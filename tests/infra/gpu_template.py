"""Reads the Gpu template for its tests: containers, their environment, what a role is granted, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from escriba.models import catalogue
from escriba.topology import TOPOLOGY
from tests.infra.conftest import Template, filled, of_type

SPEC = TOPOLOGY.services[0]
MODEL = catalogue()["olmocr-2-7b-fp8"]
"""What tests.infra.conftest.PROD serves."""


def containers(gpu: Template) -> dict[str, dict[str, Any]]:
    [task] = of_type(gpu, "ECS::TaskDefinition").values()
    return {container["Name"]: container for container in task["ContainerDefinitions"]}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {variable["Name"]: variable["Value"] for variable in container["Environment"]}


def granted(gpu: Template, role: str) -> Iterator[tuple[str, str]]:
    """Action and resource of each statement of the role whose name begins so, its inline policies included."""
    documents = [p["PolicyDocument"] for name, p in of_type(gpu, "IAM::Policy").items() if name.startswith(f"Service{role}DefaultPolicy")]
    roles = [r for name, r in of_type(gpu, "IAM::Role").items() if name.startswith(f"Service{role}")]
    documents += [policy["PolicyDocument"] for r in roles for policy in r.get("Policies", ())]
    for statement in (s for document in documents for s in document["Statement"]):
        assert statement["Effect"] == "Allow"
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                yield action, str(filled(gpu, resource))


def listed(value: Any) -> list[Any]:
    """One or several, as IAM writes them."""
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
