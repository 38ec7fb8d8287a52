"""The one key of a stage: buckets, queues and tables are encrypted with it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk.deployment import Deployment


class Encryption(Construct):
    """A customer managed key, rotated yearly; it outlives the stack where the data does."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(
            self,
            "Key",
            alias=f"alias/{deployment.name}",
            description=f"Everything that Escriba ({deployment.stage}) stores and sends",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.RETAIN if deployment.keeps_data else cdk.RemovalPolicy.DESTROY,
            pending_window=cdk.Duration.days(7),
        )

    def let_publish(self, service: str) -> None:
        """Let an AWS service of this account put messages into queues that this key encrypts; without it they are lost without a word."""
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LetPublish" + service.split(".", maxsplit=1)[0].title(),
                principals=[iam.ServicePrincipal(service)],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                # Not the rule's ARN: the rule needs the queue, the queue its key, and the key would need the rule.
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            )
        )
