"""The network of the GPU service: no way to the internet, a door to each AWS service that is called and to no other, and what the doors cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cdk import app
from cdk.app import NO_BUNDLING, build
from cdk.network import GATEWAYS, HOURS_A_MONTH, INTERFACES, PRICE
from tests.documents import ROOT
from tests.infra.conftest import PROD, Template, filled, of_type
from tests.infra.gpu_template import granted


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


def test_a_door_for_data_opens_to_this_account_alone(gpu: Template) -> None:
    """Keys of somebody else's account, brought in with a document, carry nothing out; only the images' layers, signed by ECR, are read by anybody."""
    ours = {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}
    layers = "arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*"
    for name in ("s3", "dynamodb", "sqs", "logs"):
        first, *more = interfaces(gpu)[name]["PolicyDocument"]["Statement"]
        assert first == {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "Condition": ours}, name
        assert [(s["Effect"], s["Action"], filled(gpu, s["Resource"])) for s in more] == [("Allow", "s3:GetObject", layers)] * (
            name == "s3"
        )


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
