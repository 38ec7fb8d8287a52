"""What the functions work on, handed to them as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from escriba.backends import Backend
from escriba.policy import Policy
from escriba.settings import Settings


@dataclass(frozen=True)
class Resources:
    """Buckets, tables, queues by their names in the topology, the bus, the key, the policies and vision backends of the deployment, and the namespace of its metrics."""

    inbox: s3.IBucket
    results: s3.IBucket
    ledger: dynamodb.ITable
    idempotency: dynamodb.ITable
    queues: Mapping[str, sqs.IQueue]
    bus: events.IEventBus
    key: kms.IKey
    policies: Mapping[str, Policy]
    backends: tuple[Backend, ...]
    namespace: str

    def settings(self, *, reader_memory_mb: int) -> Settings:
        """The settings of a function: names are tokens, which CloudFormation fills in."""
        return Settings(
            inbox_bucket=self.inbox.bucket_name,
            results_bucket=self.results.bucket_name,
            ledger_table=self.ledger.table_name,
            idempotency_table=self.idempotency.table_name,
            event_bus=self.bus.event_bus_name,
            queues={name: queue.queue_url for name, queue in sorted(self.queues.items())},
            policies=dict(self.policies),
            backends=self.backends,
            metric_namespace=self.namespace,
            reader_memory_mb=reader_memory_mb,
        )


@dataclass(frozen=True)
class Alarmed:
    """What the alarms look at, by the topology's names, and the key that encrypts what they say."""

    functions: Mapping[str, lambda_.IFunction]
    ledger: dynamodb.ITable
    queues: Mapping[str, sqs.IQueue]
    key: kms.IKey
