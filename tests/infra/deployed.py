"""The Core template deployed into moto's CloudFormation, what moto leaves out made up for, and its functions run with their own environment."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws

from escriba.aws.clients import client, forget_clients
from escriba.cli.reading import HANDLERS
from escriba.local.dispatcher import Handler
from escriba.local.embedded_aws import REGION
from escriba.local.moto_repairs import repaired_moto
from lambdas import entry
from tests.infra.conftest import Template, of_type

ACCOUNT = "123456789012"
NEVER_MADE = {"AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::Scheduler::Schedule"}
"""What moto leaves out of a stack without a word that fails."""
STACK = "escriba-dev-core"


@dataclass
class Stack:
    """A deployed stack; `calls` are those that its functions made to AWS, as (function, service, operation, parameters); `more` is put into every function's environment."""

    template: Template
    names: dict[str, str]
    outputs: dict[str, str]
    calls: list[tuple[str, str, str, dict[str, Any]]] = field(default_factory=list)
    running: str = ""
    more: dict[str, str] = field(default_factory=dict)

    def physical(self, kind: str, prefix: str) -> str:
        """The name of the only resource of its type whose logical id begins so."""
        [logical] = [logical for logical in of_type(self.template, kind) if logical.startswith(prefix)]
        return self.names[logical]

    def environment(self, function: str) -> dict[str, str]:
        """What the stack tells a function of the topology."""
        name = self.physical("Lambda::Function", function.replace("_", ""))
        variables: dict[str, str] = boto3.client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        return variables

    def handlers(self) -> dict[str, Handler]:
        """Each real handler in a sandbox of its own, with the environment that the stack gives its function."""
        return {name: self._in_its_environment(name, handler) for name, handler in HANDLERS.items()}

    def _in_its_environment(self, name: str, handler: Handler) -> Handler:
        variables = self.environment(name)

        def handle(event: dict[str, Any], context: Any) -> Any:
            with pytest.MonkeyPatch.context() as environment:
                for variable in [variable for variable in os.environ if variable.startswith("ESCRIBA_")]:
                    environment.delenv(variable)
                for variable, value in (variables | self.more).items():
                    environment.setenv(variable, value)
                self.running = name
                try:
                    return handler(event, context)
                finally:
                    self.running = ""
                    entry.release_worker()

        return handle

    def note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Hears of every call to AWS before it is made."""
        if self.running:
            self.calls.append((self.running, model.service_model.service_name, model.name, params))


def fit_for_moto(template: Template) -> Template:
    """The template without what moto 5.2 stumbles over; tests/infra/test_on_moto.py says what that is."""
    text = json.dumps(template)
    for logical, bus in of_type(template, "Events::EventBus").items():
        text = text.replace(json.dumps({"Ref": logical}), json.dumps(bus["Name"]))
    fit: Template = json.loads(text)
    for key in of_type(fit, "KMS::Key").values():
        del key["Tags"]
    for mapping in of_type(fit, "Lambda::EventSourceMapping").values():
        mapping["Enabled"] = False  # moto would run the function itself, in Docker
    return fit


@contextmanager
def deployed(template: Template) -> Iterator[Stack]:
    """A stack in a moto of its own while the context lasts."""
    with pytest.MonkeyPatch.context() as environment, repaired_moto(), mock_aws():
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        forget_clients()
        try:
            stack = deploy(fit_for_moto(template))
            for service in ("s3", "sqs", "dynamodb", "events", "cloudwatch"):
                client(service).meta.events.register(f"provide-client-params.{service}", stack.note)  # type: ignore[call-overload]
            yield stack
        finally:
            entry.release_worker()
            forget_clients()


def deploy(template: Template) -> Stack:
    """Bootstrap, upload stand-ins for the code, create the stack."""
    boto3.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="21", Type="String")
    s3, assets = boto3.client("s3"), f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
    s3.create_bucket(Bucket=assets)
    for function in of_type(template, "Lambda::Function").values():
        if key := function["Code"].get("S3Key"):
            s3.put_object(Bucket=assets, Key=key, Body=_some_zip())
    formation = boto3.client("cloudformation")
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # test_on_moto.py says what moto leaves out
        formation.create_stack(StackName=STACK, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
        [stack] = formation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    summaries = formation.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    names = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in summaries if r["LogicalResourceId"]}
    return Stack(template, names, {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]})


def _some_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("stand_in.py", "")
    return out.getvalue()
