"""The way in and the way out: uploads reach the intake queue through EventBridge; "Document Completed" leaves by a bus of our own."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk.deployment import Deployment
from cdk.encryption import Encryption

UPLOADS = "inbox/"
"""Where uploads are looked for. One whose key then names no tenant and policy is answered with a reason, so it must come through."""


class Intake(Construct):
    """A rule from the inbox to the intake queue, which takes messages from this rule alone."""

    def __init__(
        self, scope: Construct, construct_id: str, deployment: Deployment, *, inbox: s3.IBucket, queue: sqs.Queue, encryption: Encryption
    ) -> None:
        super().__init__(scope, construct_id)
        rule = events.CfnRule(
            self,
            "Uploads",
            name=f"{deployment.name}-uploads",
            description="Each upload to the inbox becomes a message of the intake queue",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {"bucket": {"name": [inbox.bucket_name]}, "object": {"key": [{"prefix": UPLOADS}]}},
            },
            targets=[events.CfnRule.TargetProperty(id="intake", arn=queue.queue_arn)],
        )
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="UploadsFromEventBridge",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": rule.attr_arn}},
            )
        )
        encryption.let_publish("events.amazonaws.com")


class Completed(Construct):
    """The bus of "Document Completed" events, for rules of whoever waits for documents."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        self.bus = events.EventBus(self, "Bus", event_bus_name=deployment.name)
        cdk.Tags.of(self.bus).add("events", "Document Completed")
