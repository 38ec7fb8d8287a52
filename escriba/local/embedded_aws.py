"""Starts moto in this process and makes in it what the topology names: buckets, queues with their dead-letter queues, tables, the bus."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from moto import mock_aws

from escriba.aws.clients import client, forget_clients
from escriba.local.moto_repairs import repaired_moto
from escriba.settings import Settings
from escriba.topology import WATCH, QueueSpec, Topology

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REGION = "us-east-1"
ACCOUNT = "123456789012"


@contextmanager
def embedded_aws(topology: Topology) -> Iterator[Settings]:
    """An AWS of one's own while the context lasts; yields the settings of a deployment in it. No request leaves the process.

    The environment carries them too, as it would in a deployed function; it is restored at the end.
    """
    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": REGION}), repaired_moto(), mock_aws():
        os.environ.pop("AWS_PROFILE", None)
        forget_clients()
        try:
            settings = provision(topology)
            os.environ.update(settings.to_env())
            yield settings
        finally:
            forget_clients()


def provision(topology: Topology) -> Settings:
    """Make what the topology names in whatever AWS the clients reach; returns the settings of a deployment in it."""
    urls: dict[str, str] = {}
    for spec in reversed(topology.all_queues()):  # dead-letter queues first: their sources point to them
        urls[spec.name] = client("sqs").create_queue(QueueName=spec.name, Attributes=_queue_attributes(spec))["QueueUrl"]
    s3 = client("s3")
    for bucket in ("escriba-inbox", "escriba-results"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket="escriba-inbox", VersioningConfiguration={"Status": "Enabled"})
    make_ledger_table(client("dynamodb"), "escriba-ledger")
    client("dynamodb").create_table(
        TableName="escriba-idempotency", KeySchema=_keys("id"), AttributeDefinitions=_types(id="S"), BillingMode="PAY_PER_REQUEST"
    )
    client("events").create_event_bus(Name="escriba")
    return Settings(
        inbox_bucket="escriba-inbox",
        results_bucket="escriba-results",
        ledger_table="escriba-ledger",
        idempotency_table="escriba-idempotency",
        event_bus="escriba",
        queues={spec.name: urls[spec.name] for spec in topology.all_queues()},
    )


def make_ledger_table(dynamodb: DynamoDBClient, name: str) -> None:
    """The ledger's table, with its index."""
    dynamodb.create_table(
        TableName=name,
        KeySchema=_keys("pk", "sk"),
        AttributeDefinitions=_types(pk="S", sk="S", received_at="N", **{WATCH: "S"}),
        GlobalSecondaryIndexes=[
            {"IndexName": WATCH, "KeySchema": _keys(WATCH, "received_at"), "Projection": {"ProjectionType": "KEYS_ONLY"}},
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def _keys(*names: str) -> Any:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


def _types(**types: str) -> Any:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def _queue_attributes(spec: QueueSpec) -> Any:
    # SQS counts in whole seconds; a topology scaled down for a test must not come to "visible at once".
    attributes = {"VisibilityTimeout": str(max(1, math.ceil(spec.visibility))), "MessageRetentionPeriod": str(spec.retention)}
    if spec.dead_letters:
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{spec.dead_letter_name}"
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": spec.max_receives})
    return attributes
