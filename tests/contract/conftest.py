"""The ledger that a contract is tested on: the one in memory, then DynamoDB as moto plays it; or DynamoDB alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from escriba.aws.ledger import DynamoLedger
from escriba.aws.recovery import DynamoRecovery
from escriba.ledger import Ledger
from escriba.local.embedded_aws import embedded_aws
from escriba.local.moto_repairs import repaired_moto
from escriba.memory.clock import ManualClock
from escriba.memory.ledger import MemoryLedger
from escriba.memory.recovery import MemoryRecovery
from escriba.topology import TOPOLOGY
from lambdas.entry import release_worker
from tests.contract.ledgers import Books, FastClock, dynamo_ledger


@pytest.fixture(params=["memory", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger(FastClock())
        return
    with repaired_moto(), mock_aws():
        yield dynamo_ledger()


@pytest.fixture
def dynamo() -> Iterator[DynamoLedger]:
    with repaired_moto(), mock_aws():
        yield dynamo_ledger()


@pytest.fixture(params=["memory", "dynamodb"])
def books(request: pytest.FixtureRequest) -> Iterator[Books]:
    clock = ManualClock()
    if request.param == "memory":
        ledger = MemoryLedger(clock)
        yield Books(ledger, MemoryRecovery(ledger), clock)
        return
    with repaired_moto(), mock_aws():
        yield dynamo_books(clock)


@pytest.fixture
def on_dynamo() -> Iterator[Books]:
    with repaired_moto(), mock_aws():
        yield dynamo_books(ManualClock())


def dynamo_books(clock: ManualClock) -> Books:
    """Ledger and recovery over one table, with one client."""
    ledger = dynamo_ledger(clock)
    return Books(ledger, DynamoRecovery(ledger._table.client, ledger._table.name, clock), clock)


@pytest.fixture
def stack() -> Iterator[str]:
    """A stack whose outputs name the embedded AWS's buckets and table, with queues named as a deployment's."""
    with embedded_aws(TOPOLOGY) as settings:
        sqs = boto3.client("sqs")
        queues = {spec.name: sqs.create_queue(QueueName=f"escriba-test--{spec.name}")["QueueUrl"] for spec in TOPOLOGY.all_queues()}
        # A deployment gathers improvements for a minute, which a test would spend waiting.
        os.environ.update(settings.model_copy(update={"queues": queues, "upgrade_window": 1}).to_env())  # restored with the embedded AWS
        named = {"InboxBucket": settings.inbox_bucket, "ResultsBucket": settings.results_bucket, "LedgerTable": settings.ledger_table}
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {key: {"Value": value} for key, value in named.items()},
        }
        cloudformation = boto3.client("cloudformation")
        cloudformation.create_stack(StackName="escriba-test-core", TemplateBody=json.dumps(template))
        cloudformation.create_stack(StackName="another", TemplateBody=json.dumps(template | {"Outputs": {}}))
        yield "escriba-test-core"
        release_worker()
