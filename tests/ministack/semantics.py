"""Asks MiniStack what AWS documents and the pipeline is built on, each question by real calls with queues and functions of its own."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from escriba.topology import FunctionSpec
from tests.ministack.deployment import create_function, create_mapping, lead_uploads, package, queue_arn
from tests.ministack.server import ROOT

_ATTEMPT = 2  # seconds of timeout and visibility
_PATIENCE = 20.0
_KEY = "inbox/acme/a b+ç%.pdf"


def differences(directory: Path) -> list[str]:
    """What MiniStack does otherwise, one sentence each; `directory` receives the functions' notes."""
    asked = Questions(directory)
    questions: list[Callable[[], Iterator[str]]] = [
        asked.upload_event,
        asked.refused_mappings,
        asked.stale_receipts,
        asked.attempts,
        asked.memory,
        asked.partial_answers,
        asked.concurrency,
    ]
    return [answer for question in questions for answer in question()]


class Questions:
    """Each question yields a sentence for every answer that is not AWS's."""

    def __init__(self, directory: Path) -> None:
        self._notes = directory.resolve() / "invocations.jsonl"
        self._notes.touch()
        self._sqs, self._urls = boto3.client("sqs"), dict[str, str]()

    def upload_event(self) -> Iterator[str]:
        """S3's event by way of EventBridge: what it names of an object, and that a rule's prefix holds."""
        s3, bucket = boto3.client("s3"), "asked"
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        self._queue("uploads")
        lead_uploads(bucket, "uploads", prefix="inbox/")
        s3.put_object(Bucket=bucket, Key="elsewhere/a.pdf", Body=b"none of ours")
        version = s3.put_object(Bucket=bucket, Key=_KEY, Body=b"four")["VersionId"]
        events = [json.loads(message["Body"]) for message in self._received("uploads", 1)]
        if len(events) != 1:
            yield f"EventBridge: a rule on keys under inbox/ let {len(events)} of 2 uploads through, not 1"
        for event in events:
            said = event["detail"]["object"]
            expected = {"key": _KEY, "size": 4, "version-id": version}
            for name, value in expected.items():
                if said.get(name) != value:
                    yield f"S3's event to EventBridge: detail.object.{name} is {said.get(name)!r}, not {value!r}"

    def refused_mappings(self) -> Iterator[str]:
        """What Lambda refuses because it could not work."""
        self._queue("refusals")
        quick, slow = self._function("quick"), self._function("slow", timeout=_ATTEMPT + 10)
        create_mapping(quick, "refusals", BatchSize=1)
        wrong: list[tuple[str, FunctionSpec, dict[str, Any]]] = [
            ("a queue whose visibility timeout is shorter than the function's timeout", slow, {"BatchSize": 1}),
            ("a batch size over 10 without a batching window", quick, {"BatchSize": 100}),
            ("a queue and function that are mapped already", quick, {"BatchSize": 1}),
        ]
        for what, function, changes in wrong:
            try:
                create_mapping(function, "refusals", **changes)
            except ClientError:
                continue
            yield f"Lambda: a mapping with {what} is accepted"

    def stale_receipts(self) -> Iterator[str]:
        """The receipt of an earlier delivery deletes nothing."""
        self._queue("receipts")
        self._send("receipts", "well")
        url = self._urls["receipts"]
        [first] = self._sqs.receive_message(QueueUrl=url)["Messages"]
        self._sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
        self._sqs.receive_message(QueueUrl=url)
        try:
            self._sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        except ClientError as error:
            yield f"SQS: deleting by the receipt of an earlier delivery is an error ({error.response['Error']['Code']}), not without effect"
        if not self._received("receipts", 1):
            yield "SQS: the receipt of an earlier delivery deletes a message that is another's by now"

    def attempts(self) -> Iterator[str]:
        """A handler that raises, is stopped at its timeout, or dies: three receives, each after the visibility timeout, then dead letters."""
        self._queue("attempts", dead_letters=True)
        create_mapping(self._function("attempting"), "attempts", BatchSize=1)
        for order in ("raise", "sleep", "die"):
            self._send("attempts", order)
        letters = {json.loads(message["Body"])["order"] for message in self._received("attempts-dlq", 3)}
        for order in ("raise", "sleep", "die"):
            received = [note for note in self._invocations() if order in note["orders"]]
            counts = [note["receives"][0] for note in received]
            if order not in letters or counts != ["1", "2", "3"]:
                yield f"SQS: a message whose handler does {order!r} was received {counts}, dead letter: {order in letters}"
            waits = [later["at"] - note["at"] for note, later in itertools.pairwise(received)]
            if min(waits, default=_ATTEMPT) < _ATTEMPT - 0.1:
                yield f"SQS: a message whose handler does {order!r} came again after {min(waits):.1f} s, before its visibility timeout"

            left = [note["left"] for note in received]
            if not all(0 < each <= 1000 * _ATTEMPT for each in left):
                yield f"Lambda: a context with {_ATTEMPT} s says that it has {left} ms left"

    def memory(self) -> Iterator[str]:
        """A function that takes more than its memory is ended."""
        self._queue("hunger", dead_letters=True)
        create_mapping(self._function("hungry"), "hunger", BatchSize=1)
        self._send("hunger", "devour")
        if not self._received("hunger-dlq", 1):
            yield "Lambda: a function of 128 MB may take 256 MB"

    def partial_answers(self) -> Iterator[str]:
        """Of a batch only what the answer names comes again; an answer with an empty name fails the whole batch."""
        self._queue("batches", dead_letters=True)
        create_mapping(self._function("batching"), "batches", BatchSize=10)
        for orders, expected in ((("well", "fail", "fine"), {"fail"}), (("misnamed",), {"misnamed"})):
            self._send("batches", *orders)
            letters = {json.loads(message["Body"])["order"] for message in self._received("batches-dlq", len(expected))}
            if letters != expected:
                yield f"Lambda: of the batch {', '.join(orders)} the dead letters are {sorted(letters) or 'none'}, not {sorted(expected)}"

    def concurrency(self) -> Iterator[str]:
        """A mapping's maximum concurrency is reached and not passed."""
        self._queue("crowd")
        create_mapping(self._function("crowded"), "crowd", BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
        for _ in range(6):
            self._send("crowd", "nap")
        deadline = time.monotonic() + _PATIENCE
        while len(naps := [note for note in self._invocations() if "nap" in note["orders"]]) < 6 and time.monotonic() < deadline:
            time.sleep(0.2)
        at_once = max((sum(abs(other["at"] - nap["at"]) < 0.4 for other in naps) for nap in naps), default=0)
        if (len(naps), at_once) != (6, 2):
            yield f"Lambda: a maximum concurrency of 2 gave {at_once} invocations at once, {len(naps)} of 6 in all"

    def _queue(self, name: str, *, dead_letters: bool = False) -> None:
        attributes = {"VisibilityTimeout": str(_ATTEMPT)}
        if dead_letters:
            self._queue(f"{name}-dlq")
            redrive = {"deadLetterTargetArn": queue_arn(f"{name}-dlq"), "maxReceiveCount": 3}
            attributes["RedrivePolicy"] = json.dumps(redrive)
        self._urls[name] = self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def _function(self, name: str, timeout: float = _ATTEMPT) -> FunctionSpec:
        function = FunctionSpec(name, (), timeout=timeout, memory=128)
        code = package([ROOT / "tests" / "ministack" / "obeying.py"])
        create_function(function, "tests.ministack.obeying.handler", code, {"NOTES": str(self._notes)})
        return function

    def _send(self, queue: str, *orders: str) -> None:
        entries = [{"Id": order, "MessageBody": json.dumps({"order": order})} for order in orders]
        self._sqs.send_message_batch(QueueUrl=self._urls[queue], Entries=entries)

    def _received(self, queue: str, wanted: int) -> list[Any]:
        """Messages as they come, until `wanted` are there and no more for as long as an attempt takes, or patience ends."""
        messages: list[Any] = []
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            answer = self._sqs.receive_message(QueueUrl=self._urls[queue], MaxNumberOfMessages=10, WaitTimeSeconds=2)
            for message in answer.get("Messages", ()):
                messages.append(message)
                self._sqs.delete_message(QueueUrl=self._urls[queue], ReceiptHandle=message["ReceiptHandle"])
            if len(messages) >= wanted and "Messages" not in answer:
                break
        return messages

    def _invocations(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._notes.read_text().splitlines()]
