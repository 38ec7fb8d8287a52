"""Who may do what: every wildcard of every statement with its reason, and cdk-nag's findings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_s3 as s3

from cdk.access import ACCESS
from cdk.app import NO_BUNDLING, build
from escriba.topology import TOPOLOGY
from tests.infra.conftest import Template, filled, of_type, queue_name

KEY_OWNER = "the account owns its key: without this its policies could grant nothing, and a lost role would lose the key"
KEY_ITSELF = "in a key's own policy, * is this key"
DENIED = "denied to everybody: plain HTTP, old TLS"
TRACING = "X-Ray's actions know no resource, nor does CloudWatch's reading of metrics"
UNDER_A_PREFIX = "objects under this prefix, named by content and document"
CANARY = "the canary's own"
ANYBODY_DENIED = "a denial is for everybody"

WILDCARDS = {
    ("KMS::Key", "Allow", "kms:*"): KEY_OWNER,
    ("KMS::Key", "Allow", "*"): KEY_ITSELF,
    ("S3::BucketPolicy", "Deny", "s3:*"): DENIED,
    ("S3::BucketPolicy", "Deny", "bucket/*"): DENIED,
    ("S3::BucketPolicy", "Deny", "AWS *"): ANYBODY_DENIED,
    ("S3::BucketPolicy", "Allow", "bucket/inbox/*"): "S3 writes the inbox's access log there",
    ("S3::BucketPolicy", "Allow", "bucket/results/*"): "S3 writes the results' access log there",
    ("SQS::QueuePolicy", "Deny", "sqs:*"): DENIED,
    ("SQS::QueuePolicy", "Deny", "AWS *"): ANYBODY_DENIED,
    ("IAM::Policy", "Allow", "*"): TRACING,
    ("IAM::Policy", "Allow", "bucket/inbox/*"): UNDER_A_PREFIX,
    ("IAM::Policy", "Allow", "bucket/originals/*"): UNDER_A_PREFIX,
    ("IAM::Policy", "Allow", "bucket/readings/*"): UNDER_A_PREFIX,
    ("IAM::Policy", "Allow", "bucket/documents/*"): UNDER_A_PREFIX,
    ("IAM::Policy", "Allow", "bucket/inbox/canary/*"): CANARY,
    ("IAM::Policy", "Allow", "bucket/originals/canary/*"): CANARY,
    ("IAM::Policy", "Allow", "bucket/documents/canary/*"): CANARY,
    ("IAM::Policy", "Allow", "bucket/canary/*"): CANARY,
    ("IAM::Policy", "Allow", "bucket/policies/*"): "policies put into the bucket by hand",
}


def statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement with the type of the resource it stands in."""
    for name, kind in (("KeyPolicy", "KMS::Key"), ("AssumeRolePolicyDocument", "IAM::Role")):
        for resource in of_type(template, kind).values():
            yield from ((kind, statement) for statement in resource[name]["Statement"])
    for kind in ("IAM::Policy", "S3::BucketPolicy", "SQS::QueuePolicy"):
        for resource in of_type(template, kind).values():
            yield from ((kind, statement) for statement in resource["PolicyDocument"]["Statement"])


def wildcards(template: Template) -> set[tuple[str, str, str]]:
    found = set()
    for kind, statement in statements(template):
        for part in ("Action", "Resource", "Principal", "NotAction", "NotResource", "NotPrincipal"):
            for value in _texts(filled(template, statement.get(part, []))):
                if "*" in value or "?" in value:
                    shown = "bucket/" + value.split("/", 1)[1] if "/" in value else value
                    found.add((kind, statement["Effect"], "AWS " + value if part == "Principal" else shown))
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    return [value] if isinstance(value, str) else [text for part in value for text in _texts(part)]


def test_every_wildcard_has_its_reason(dev: Template, prod: Template) -> None:
    """In both stages these and no others; no role is lent to anybody but Lambda and the scheduler, no managed policy attached."""
    assert wildcards(dev) == WILDCARDS.keys()
    assert wildcards(prod) == WILDCARDS.keys()
    lent = [statement["Principal"] for kind, statement in statements(dev) if kind == "IAM::Role"]
    assert sorted(principal["Service"] for principal in lent) == ["lambda.amazonaws.com"] * 7 + ["scheduler.amazonaws.com"]
    assert not any("ManagedPolicyArns" in role or "Policies" in role for role in of_type(dev, "IAM::Role").values())


def test_every_wildcard_of_the_gpu_stack_has_its_reason(gpu: Template) -> None:
    """These and no others; on everything a role may only ask for leave to pull, send traces, and, as an instance, find ECS."""
    weights = next(iter({shown for _, _, shown in wildcards(gpu) if "/weights/" in shown}))
    assert wildcards(gpu) == {
        ("IAM::Policy", "Allow", "bucket/originals/*"),  # as in the Core stack
        ("IAM::Policy", "Allow", "bucket/readings/*"),
        ("IAM::Policy", "Allow", weights),  # the files of one pinned revision
        ("IAM::Policy", "Allow", "bucket/escriba-prod/*"),  # tasks of this cluster, of which it says that they are busy
        ("IAM::Policy", "Allow", "*"),
    }
    everything = [statement["Action"] for kind, statement in statements(gpu) if kind == "IAM::Policy" and statement["Resource"] == "*"]
    assert sorted(everything, key=str) == [["xray:PutTelemetryRecords", "xray:PutTraceSegments"], "ecr:GetAuthorizationToken"]
    inline = [s for role in of_type(gpu, "IAM::Role").values() for p in role.get("Policies", ()) for s in p["PolicyDocument"]["Statement"]]
    assert [statement["Action"] for statement in inline if statement["Resource"] == "*"] == ["ecs:DiscoverPollEndpoint"]
    managed = [filled(gpu, arn) for role in of_type(gpu, "IAM::Role").values() for arn in role.get("ManagedPolicyArns", ())]
    assert managed == ["arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForManagedInstances"]


def test_tracing_and_the_age_of_queues_alone_are_granted_on_everything(dev: Template) -> None:
    """The one resource `*` of a role is the tracing's, and the reconciler's who asks CloudWatch."""
    broad = [statement["Action"] for kind, statement in statements(dev) if kind == "IAM::Policy" and statement["Resource"] == "*"]
    tracing = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    assert sorted(broad) == [["cloudwatch:GetMetricStatistics", *tracing], *[tracing] * 6]


def test_only_the_rule_puts_messages_into_a_queue_from_outside(dev: Template) -> None:
    """One queue policy allows anything: EventBridge, for this rule, into the intake queue, and with the key that encrypts it."""
    allowed = [
        (queue_name(dev, statement["Resource"]), statement["Principal"], statement["Action"], statement["Condition"])
        for kind, statement in statements(dev)
        if kind == "SQS::QueuePolicy" and statement["Effect"] == "Allow"
    ]
    [rule] = of_type(dev, "Events::Rule")
    only_this = {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [rule, "Arn"]}}}
    assert allowed == [("intake", {"Service": "events.amazonaws.com"}, "sqs:SendMessage", only_this)]
    [key] = [s for kind, s in statements(dev) if kind == "KMS::Key" and s["Principal"] == {"Service": "events.amazonaws.com"}]
    assert key["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert key["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert all("KmsMasterKeyId" in queue for queue in of_type(dev, "SQS::Queue").values())


def test_every_function_has_its_permissions_written_down() -> None:
    """One entry a function of the topology."""
    assert ACCESS.keys() == {function.name for function in TOPOLOGY.functions}


def test_an_unaccepted_finding_ends_the_synthesis(tmp_path: Path) -> None:
    """cdk-nag is asked, and heard: a bucket without TLS and logs is named twice, and nothing else is."""
    app = build(NO_BUNDLING, str(tmp_path))
    stack = app.node.find_child("Core")
    assert isinstance(stack, Stack)
    s3.Bucket(stack, "Careless")
    with pytest.raises(RuntimeError, match="Validation"):
        app.synth()
    [report] = json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"]
    found = {(violation["ruleName"], violation["violatingConstructs"][0]["constructPath"]) for violation in report["violations"]}
    assert found == {("AwsSolutions-S1", "Core/Careless/Resource"), ("AwsSolutions-S10", "Core/Careless/Resource")}
    assert all(violation["reason"] for violation in report["suppressedViolations"])
