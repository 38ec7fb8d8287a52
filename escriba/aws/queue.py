"""A standard queue on SQS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from escriba.aws.failures import aws_failures
from escriba.errors import Throttled
from escriba.ports import Delivery, Depth

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10
_BATCH_BYTES = 200_000  # SQS takes 256 KiB, attributes included
_TRIES = 3
_AGE_FOUND_WITHIN = timedelta(minutes=15)  # CloudWatch hears of a queue a few minutes late


class SqsQueue:
    """Implements `ports.Queue`."""

    def __init__(self, client: SQSClient, url: str, name: str, cloudwatch: Any = None) -> None:
        """`cloudwatch` is for `oldest` alone: SQS itself does not tell it."""
        self._client, self._url, self._name, self._cloudwatch = client, url, name, cloudwatch

    @property
    def name(self) -> str:
        return self._name

    def send(self, bodies: Sequence[str], *, delay: int = 0, tenant: str = "") -> None:
        for batch in _batches(bodies):
            entries: list[Any] = [
                # On a standard queue the group makes SQS share out the consumers fairly between tenants.
                {"Id": str(n), "MessageBody": body, "DelaySeconds": delay} | ({"MessageGroupId": tenant} if tenant else {})
                for n, body in enumerate(batch)
            ]
            self._send_all(entries)

    def _send_all(self, entries: list[Any]) -> None:
        for _ in range(_TRIES):
            with aws_failures(f"sending to {self._name}"):
                failed = {entry["Id"] for entry in self._client.send_message_batch(QueueUrl=self._url, Entries=entries).get("Failed", ())}
            entries = [entry for entry in entries if entry["Id"] in failed]
            if not entries:
                return
        raise Throttled(f"sending to {self._name}: {len(entries)} messages were refused {_TRIES} times")

    def receive(self, limit: int, *, wait: int = 0) -> Sequence[Delivery]:
        with aws_failures(f"receiving from {self._name}"):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=wait,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Delivery(m["MessageId"], m["ReceiptHandle"], m["Body"], int(m["Attributes"]["ApproximateReceiveCount"]))
            for m in answer.get("Messages", ())
        ]

    def delete(self, receipt: str) -> None:
        with aws_failures(f"deleting from {self._name}"):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)

    def change_visibility(self, receipt: str, seconds: int) -> None:
        with aws_failures(f"hiding a message of {self._name}"):
            self._client.change_message_visibility(QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def hide(self, receipts: Sequence[str], seconds: int) -> None:
        for n in range(0, len(receipts), BATCH):
            entries: list[Any] = [
                {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds} for i, receipt in enumerate(receipts[n : n + BATCH])
            ]
            with aws_failures(f"hiding messages of {self._name}"):
                # Those whose time had run out belong to somebody else by now.
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def depth(self) -> Depth:
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
        with aws_failures(f"looking at {self._name}"):
            counts = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        return Depth(*(int(counts[name]) for name in names))

    def oldest(self) -> float | None:
        if self.depth().total == 0:
            return 0.0
        if self._cloudwatch is None:
            return None
        now = datetime.now(UTC)
        with aws_failures(f"looking at {self._name}"):
            points: Any = self._cloudwatch.get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[{"Name": "QueueName", "Value": self._url.rpartition("/")[2]}],
                StartTime=now - _AGE_FOUND_WITHIN,
                EndTime=now,
                Period=60,
                Statistics=["Maximum"],
            )["Datapoints"]
        latest = max(points, key=lambda point: point["Timestamp"], default=None)
        # It has grown older since the point was taken.
        return None if latest is None else latest["Maximum"] + (now - latest["Timestamp"]).total_seconds()


def _batches(bodies: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        length = len(body.encode())
        if batch and (len(batch) == BATCH or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += length
    if batch:
        yield batch
