"""The ledger that a contract is tested on: the one in memory, then DynamoDB as moto plays it; or DynamoDB alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from escriba.aws.ledger import DynamoLedger
from escriba.ledger import Ledger
from escriba.local.moto_repairs import repaired_moto
from escriba.memory.ledger import MemoryLedger
from tests.contract.ledgers import FastClock, dynamo_ledger


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
