"""Who hears of alarms: one topic that wakes somebody, one that informs; each has a subscription, or there is no deployment."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from cdk.deployment import Deployment


class Topics(Construct):
    """Encrypted with the stage's key, which must let CloudWatch use it, or an alarm goes out into nothing."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self._deployment, self._key = deployment, key
        self.pager = self._topic("pager")
        self.notices = self._topic("notices")

    def _topic(self, name: str) -> sns.Topic:
        topic = sns.Topic(self, name, topic_name=f"{self._deployment.name}-{name}", master_key=self._key, enforce_ssl=True)
        topic.add_subscription(subscriptions.EmailSubscription(self._deployment.alarm_email))
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsFromCloudWatch",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            )
        )
        return topic
