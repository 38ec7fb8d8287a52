"""Findings of cdk-nag that stand, each with its reason; all others end the synthesis."""

from __future__ import annotations

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import IConstruct

_WILDCARD = "AwsSolutions::AwsSolutions-IAM5[Resource::{}]"
_ECS = "arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>"


def key_prefixes(scope: IConstruct, bucket: s3.IBucket, patterns: Iterable[str]) -> None:
    """A role reads or writes every object under a prefix."""
    for pattern in sorted(set(patterns)):
        _accept(
            scope, _WILDCARD.format(f"{_shown(scope, bucket)}/{pattern}"), "the objects under this prefix are named by content and document"
        )


def _shown(scope: IConstruct, bucket: s3.IBucket) -> str:
    """The bucket's ARN as cdk-nag writes it: of this stack, or of another that exports it."""
    here, there = cdk.Stack.of(scope), cdk.Stack.of(bucket)
    if not isinstance(bucket, s3.Bucket):  # somebody else's, known by its name
        return f"arn:<AWS::Partition>:s3:::{bucket.bucket_name}"
    if here is there:
        return f"<{here.resolve(bucket.bucket_arn)['Fn::GetAtt'][0]}.Arn>"
    return str(here.resolve(there.export_value(bucket.bucket_arn))["Fn::ImportValue"])


def tracing(scope: IConstruct) -> None:
    """X-Ray's actions know no resource, nor does CloudWatch's reading of metrics (the reconciler's)."""
    _accept(scope, _WILDCARD.format("*"), "xray:Put... and cloudwatch:GetMetricStatistics can be granted on * only")


def secrets(scope: IConstruct, arns: Iterable[str]) -> None:
    """Secrets Manager puts six characters of its own behind a secret's name."""
    stack = cdk.Stack.of(scope)
    for arn in arns:
        shown = "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in stack.resolve(arn)["Fn::Join"][1])
        _accept(scope, _WILDCARD.format(shown), "these six characters are Secrets Manager's own")


def runtime(scope: IConstruct) -> None:
    """A Python that is not Lambda's newest."""
    _accept(scope, "AwsSolutions::AwsSolutions-L1", "the newest Python that every wheel of our lock was made for, and the image's own")


def own_metrics(scope: IConstruct) -> None:
    """A cluster without Container Insights."""
    _accept(
        scope, "AwsSolutions::AwsSolutions-ECS4", "what the service is watched and scaled by it publishes itself, for a tenth of the price"
    )


def managed_instances(scope: IConstruct) -> None:
    """The role by which ECS rents instances, and that of an instance's agent, both as AWS and the CDK have them."""
    policy = "arn:<AWS::Partition>:iam::aws:policy/AmazonECSInfrastructureRolePolicyForManagedInstances"
    _accept(scope, f"AwsSolutions::AwsSolutions-IAM4[Policy::{policy}]", "AWS's own for this, bound to what ECS itself has made and tagged")
    _accept(scope, _WILDCARD.format("*"), "ecs:DiscoverPollEndpoint can be granted on * only")
    _accept(scope, _WILDCARD.format(f"{_ECS}:container-instance/*"), "an instance is named by ECS when it joins the cluster")


def task(scope: IConstruct) -> None:
    """A task definition with an environment, and the role that starts it."""
    _accept(scope, "AwsSolutions::AwsSolutions-ECS2", "names of resources, policies and a model; secrets are named there and stand in none")
    _accept(scope, _WILDCARD.format("*"), "ecr:GetAuthorizationToken can be granted on * only")


def protection(scope: IConstruct, cluster: str) -> None:
    """A task says of itself that it is busy."""
    _accept(
        scope,
        _WILDCARD.format(f"{_ECS}:task/{cluster}/*"),
        "a task is named by ECS when it starts; those of this cluster are all of one service",
    )


def _accept(scope: IConstruct, finding: str, reason: str) -> None:
    cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=finding, reason=reason))
