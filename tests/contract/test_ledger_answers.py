"""What DynamoDB may answer: a refusal, a cancelled transaction, a request to slow down, or nothing that arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from escriba.aws.ledger import DynamoLedger
from escriba.errors import Throttled
from escriba.local.moto_repairs import repaired_moto
from tests.contract.ledgers import DOC, check, dynamo_ledger, outcome, planned, row


def test_an_invalid_write_is_not_mistaken_for_a_race() -> None:
    """Any other refusal of a transaction comes through as it is."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))
        ledger._table.name = "missing"
        with pytest.raises(ClientError):
            ledger.document(DOC)


def test_a_cancelled_transaction_leaves_nothing_behind() -> None:
    """The embedded DynamoDB rolls back what a cancelled transaction had already written."""
    with repaired_moto(), mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))
        client = ledger._table.client
        good = {"Put": {"TableName": "ledger", "Item": {"pk": {"S": "x"}, "sk": {"S": "x"}}}}
        bad = {
            "Put": {
                "TableName": "ledger",
                "Item": {"pk": {"S": f"DOC#{DOC}"}, "sk": {"S": "DOC"}},
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }
        with pytest.raises(ClientError, match="Transaction"):
            client.transact_write_items(TransactItems=[good, bad])  # type: ignore[list-item]
        assert "Item" not in client.get_item(TableName="ledger", Key={"pk": {"S": "x"}, "sk": {"S": "x"}})
        check(ledger)


def test_an_answer_lost_on_its_way_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write was applied, the answer said that its condition failed (an SDK's own retry): the assembly is still ours."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))
        ledger.complete(DOC, [outcome(1)])
        client = ledger._table.client
        real, left = client.update_item, [1]

        def lost(**request: Any) -> Any:
            answer = real(**request)
            if left[0]:
                left[0] -= 1
                raise ClientError({"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}}, "UpdateItem")
            return answer

        monkeypatch.setattr(client, "update_item", lost)
        assert ledger.begin_assembly(DOC, 1) is not None
        left[0] = 1
        published = ledger.publish(DOC, 1, "DONE")
        assert published is not None
        assert (published.current, published.state) == (1, "DONE")


def test_throttling_is_said_in_our_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Throttled`, which is retryable, on reads and writes."""
    with mock_aws():
        ledger = dynamo_ledger()
        planned(ledger, row(1))

        def slow_down(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}, "x")

        monkeypatch.setattr(ledger._table.client, "update_item", slow_down)
        with pytest.raises(Throttled):
            ledger.reading(DOC)
        monkeypatch.setattr(ledger._table.client, "get_item", slow_down)
        with pytest.raises(Throttled):
            ledger.document(DOC)


@pytest.mark.parametrize("reason", ["ValidationError", "ItemCollectionSizeLimitExceeded"])
def test_a_transaction_cancelled_for_another_reason_than_a_race_is_not_run_again(
    dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """It would be refused for ever: the error comes through at once, as it is."""
    planned(dynamo, row(1))
    calls = []

    def refuse(**_: Any) -> Any:
        calls.append(1)
        response: Any = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": [{"Code": reason}]}
        raise ClientError(response, "TransactWriteItems")

    monkeypatch.setattr(dynamo._table.client, "transact_write_items", refuse)
    with pytest.raises(ClientError):
        dynamo.complete(DOC, [outcome(1)])
    assert len(calls) == 1


def test_throttled_transactions_are_said_in_our_own_words(dynamo: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Throttled`, which is retryable, whichever move it was."""
    planned(dynamo, row(1, 3))

    def slow_down(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "TransactWriteItems")

    monkeypatch.setattr(dynamo._table.client, "transact_write_items", slow_down)
    moves: list[Callable[[], object]] = [
        lambda: dynamo.complete(DOC, [outcome(1, 3)]),
        lambda: dynamo.unpack(DOC, 1, 3),
        lambda: dynamo.add_pages(DOC, [row(4)]),
    ]
    for move in moves:
        with pytest.raises(Throttled):
            move()
