"""The ledger, in which every page is accounted for, and the idempotency table of the door."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk.deployment import Deployment
from escriba.topology import WATCH


class Tables(Construct):
    """On demand, with point-in-time recovery; in stages that keep their data, neither can be deleted by mistake."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self._deployment, self._key = deployment, key
        self.ledger = self._table("Ledger", "pk", "sk")
        self.ledger.add_global_secondary_index(
            index_name=WATCH,
            partition_key=_text(WATCH),
            sort_key=dynamodb.Attribute(name="received_at", type=dynamodb.AttributeType.NUMBER),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        self.idempotency = self._table("Idempotency", "id", expires="expiration")

    def _table(self, name: str, partition: str, sort: str = "", *, expires: str | None = None) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            name,
            partition_key=_text(partition),
            sort_key=_text(sort) if sort else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True),
            time_to_live_attribute=expires,
            deletion_protection=self._deployment.keeps_data,
            removal_policy=cdk.RemovalPolicy.RETAIN if self._deployment.keeps_data else cdk.RemovalPolicy.DESTROY,
        )


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
