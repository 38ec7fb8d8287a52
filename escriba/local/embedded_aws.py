"""Starts moto in this process and makes in it what the topology names: buckets, queues with their dead-letter queues, tables, the bus."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from moto import mock_aws

from escriba.aws.clients import client, forget_clients
from escriba.local.moto_repairs import repaired_moto
from escriba.settings import Settings
from escriba.topology import QueueSpec, Topology

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
    for table, keys in (("escriba-ledger", ("pk", "sk")), ("escriba-idempotency", ("id",))):
        schema: Any = [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]
        client("dynamodb").create_table(
            TableName=table,
            KeySchema=schema,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
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


def _queue_attributes(spec: QueueSpec) -> Any:
    # SQS counts in whole seconds; a topology scaled down for a test must not come to "visible at once".
    attributes = {"VisibilityTimeout": str(max(1, math.ceil(spec.visibility))), "MessageRetentionPeriod": str(spec.retention)}
    if spec.dead_letters:
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{spec.dead_letter_name}"
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": spec.max_receives})
    return attributes
