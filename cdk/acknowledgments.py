"""Findings of cdk-nag that stand, each with its reason; all others end the synthesis."""

from __future__ import annotations

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import IConstruct

_WILDCARD = "AwsSolutions::AwsSolutions-IAM5[Resource::{}]"


def key_prefixes(scope: IConstruct, bucket: s3.IBucket, patterns: Iterable[str]) -> None:
    """A role reads or writes every object under a prefix."""
    arn = cdk.Stack.of(scope).resolve(bucket.bucket_arn)["Fn::GetAtt"][0]
    for pattern in sorted(set(patterns)):
        _accept(scope, _WILDCARD.format(f"<{arn}.Arn>/{pattern}"), "the objects under this prefix are named by content and document")


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


def _accept(scope: IConstruct, finding: str, reason: str) -> None:
    cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=finding, reason=reason))
