"""What the functions may do, beside what they do while documents of every kind go through the deployed stack: no less, and no more without a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import boto3
import pymupdf
import pytest

from cdk.access import ACCESS
from escriba.aws import objects
from escriba.local.dispatcher import Handler, sqs_event
from escriba.memory.clock import SystemClock
from escriba.settings import Settings
from lambdas import entry
from tests.documents import EXAMPLES, scribbles, text_pdf
from tests.faults.harness import OWN, ObedientVision
from tests.infra.conftest import Template
from tests.infra.deployed import Stack, deployed
from tests.infra.roles import Grant, allowing, grants, needed, short
from tests.infra.uploads import queues_of, send_all, work_off

pytestmark = [
    pytest.mark.filterwarnings("ignore:Tried to parse AWS"),
    pytest.mark.no_cover,  # each function's sandbox starts a reader of its own
]


def portfolio() -> bytes:
    """A PDF that holds another, of which a plain copy is made."""
    with pymupdf.open(stream=text_pdf("A cover sheet"), filetype="pdf") as document:
        document.embfile_add("part.pdf", text_pdf("The part"))
        document.xref_set_key(document.pdf_catalog(), "Collection", "<</Type/Collection>>")
        return bytes(document.tobytes())


def _lose_everything(stack: Stack, handlers: Mapping[str, Handler]) -> None:
    """Three documents whose messages are lost on the way: the upload's event, a page's, the assembly's."""
    settings = Settings.from_env(stack.environment("quarantine"))
    queues = queues_of(settings)
    for steps in ((), (("intake", "split_document"),), (("intake", "split_document"), ("pages", "recognise_pages"))):
        name = f"inbox/acme/default/lost-{len(steps)}.pdf"
        boto3.client("s3").put_object(Bucket=stack.outputs["InboxBucket"], Key=name, Body=text_pdf(f"Lost {len(steps)}"))
        for source, function in steps:
            deliveries = queues[source].receive(10)
            handlers[function](sqs_event(queues[source].name, deliveries), None)
            for delivery in deliveries:
                queues[source].delete(delivery.receipt)
        for queue in queues.values():
            for lost in queue.receive(10):
                queue.delete(lost.receipt)


def _in_an_hour(handler: Handler) -> None:
    class Later(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(hours=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "SystemClock", Later)
        handler({}, None)


@dataclass
class Role:
    """What a role grants, which of it was needed, and what was called without being granted."""

    granted: set[Grant]
    used: set[Grant] = field(default_factory=set)
    refused: set[Grant] = field(default_factory=set)


@pytest.fixture(scope="module")
def stack(dev: Template) -> Iterator[Stack]:
    """A stack whose functions have done their work; every file goes up in the way of large ones."""
    with deployed(dev) as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "_ONE_REQUEST", 0)
        patch.setattr(entry, "vision_model", lambda _: ObedientVision())
        stack.more = {"ESCRIBA_BACKENDS": json.dumps([OWN.model_dump(exclude_defaults=True)])}
        # Of the one, single pages are cut out; of the other, a plain copy is made.
        mixed = {"inbox/acme/default/mixed.pdf": (EXAMPLES / "mixed.pdf").read_bytes()}
        more = {"inbox/acme/default/portfolio.pdf": portfolio(), "inbox/acme/default/hand.png": scribbles(1)}
        send_all(stack, {**mixed, **more})
        handlers = stack.handlers()
        handlers["canary"]({}, None)
        _lose_everything(stack, handlers)
        for _ in range(2):  # the second finds the queues filled, and asks for their age
            _in_an_hour(handlers["reconcile"])
        work_off(stack)
        handlers["canary"]({}, None)
        yield stack


@pytest.fixture(scope="module")
def roles(stack: Stack) -> dict[str, Role]:
    found = {function: Role(grants(stack, function)) for function in ACCESS}
    for function, service, operation, params in stack.calls:
        role = found[function]
        for action, arn in needed(service, operation, params):
            by = allowing(role.granted, action, arn)
            role.used |= by
            role.refused |= set() if by else {(action, arn)}
    return found


def test_every_function_was_at_work(stack: Stack) -> None:
    """The calls below are of all seven."""
    assert {function for function, *_ in stack.calls} == ACCESS.keys()


def test_no_function_did_what_its_role_forbids(roles: dict[str, Role], stack: Stack) -> None:
    """Every call is allowed by a statement of the function's own role."""
    assert {name: role.refused for name, role in roles.items()} == {name: set() for name in roles}
    assert not allowing(roles["quarantine"].granted, "s3:GetObject", f"arn:aws:s3:::{stack.outputs['ResultsBucket']}/originals/x")


QUEUE_KEY = "SQS, S3 and DynamoDB use the stage's key in the caller's name"
TABLE_KEY = "DynamoDB uses its table's key in the caller's name"
LAMBDA = "Lambda's pollers receive and delete in the function's name"
LOGS, TRACES = "Lambda writes the function's log in its name", "Lambda sends the function's traces in its name"
IN_PARTS = "an upload in parts that fails is given up"
APART = "a packet of pages is taken apart"
POLLED = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
ABSENT = "without it S3 says 'forbidden' of what is not there"

OF_ALL = {
    "kms:Decrypt key": QUEUE_KEY,
    "kms:GenerateDataKey key": QUEUE_KEY,
    "kms:DescribeKey key": TABLE_KEY,
    "kms:Encrypt key": TABLE_KEY,
    "kms:ReEncryptFrom key": TABLE_KEY,
    "kms:ReEncryptTo key": TABLE_KEY,
    "logs:CreateLogStream logs": LOGS,
    "logs:PutLogEvents logs": LOGS,
    "xray:PutTelemetryRecords *": TRACES,
    "xray:PutTraceSegments *": TRACES,
}
REOPENED = "one that is opened again may hold pages that were escalated"
LOST = "an escalated page whose message was lost"
NEVER_CALLED = {
    "split_document": OF_ALL
    | {
        "sqs:ReceiveMessage intake": LAMBDA,
        "sqs:DeleteMessage intake": LAMBDA,
        "sqs:GetQueueAttributes intake": LAMBDA,
        "sqs:SendMessage assemble": "a plan that is replayed may find nothing waiting any more",
        "sqs:SendMessage vision-api": REOPENED,
        "sqs:SendMessage vision": REOPENED,
        "s3:ListBucket inbox": ABSENT,
        "s3:ListBucketVersions inbox": ABSENT,
        "s3:ListBucket results": ABSENT,
        "s3:AbortMultipartUpload results/originals/*": IN_PARTS,
        "s3:AbortMultipartUpload results/readings/*": IN_PARTS,
        "dynamodb:GetItem idempotency": "Powertools asks where a refused write is not answered with the item that stands there",
        "dynamodb:DeleteItem idempotency": "an upload that could not be taken in may be tried again",
    },
    "recognise_pages": OF_ALL
    | {
        "sqs:ReceiveMessage pages": LAMBDA,
        "sqs:DeleteMessage pages": LAMBDA,
        "sqs:GetQueueAttributes pages": LAMBDA,
        "sqs:SendMessage pages": APART,
        "sqs:SendMessage vision": "where a deployment has its own model",
        "dynamodb:PutItem ledger": APART,
        "dynamodb:Query ledger": APART,
        "s3:ListBucket results": ABSENT,
        "s3:AbortMultipartUpload results/readings/*": IN_PARTS,
    },
    "assemble_document": OF_ALL
    | {
        "sqs:ReceiveMessage assemble": LAMBDA,
        "sqs:DeleteMessage assemble": LAMBDA,
        "sqs:GetQueueAttributes assemble": LAMBDA,
        "s3:ListBucket results": ABSENT,
        "s3:AbortMultipartUpload results/documents/*": IN_PARTS,
    },
    "reconcile": OF_ALL
    | {
        "events:PutEvents escriba-dev": "a document whose messages are lost again and again ends here",
        "sqs:SendMessage vision-api": LOST,
        "sqs:SendMessage vision": LOST,
        "s3:DeleteObjectVersion inbox/inbox/*": "an upload whose process died after it was taken in is taken out of the inbox",
    },
    "read_with_api": OF_ALL
    | {f"sqs:{action} vision-api": LAMBDA for action in POLLED}
    | {
        "sqs:SendMessage vision": "where our own model comes after one that is not",
        "sqs:SendMessage vision-api-dlq": "a page that failed three times is given up",
        "sqs:ChangeMessageVisibility vision-api": "a page that may wait comes back later",
        "s3:ListBucket results": ABSENT,
        "s3:AbortMultipartUpload results/readings/*": IN_PARTS,
    },
    "canary": OF_ALL
    | {
        "s3:AbortMultipartUpload results/canary/*": IN_PARTS,
        "s3:DeleteObjectVersion inbox/inbox/canary/*": "a document of its own that nobody took in is taken out of the inbox",
    },
    "quarantine": OF_ALL
    | {f"sqs:{action} {queue}-dlq": LAMBDA for action in POLLED for queue in ("intake", "pages", "vision-api", "vision", "assemble")}
    | {
        "sqs:SendMessage pages": APART,
        "dynamodb:Query ledger": APART,
        "events:PutEvents escriba-dev": "a document that can be neither split nor assembled ends here",
    },
}


def test_every_function_is_looked_at() -> None:
    """One set of reasons a function."""
    assert NEVER_CALLED.keys() == ACCESS.keys()


@pytest.mark.parametrize("function", NEVER_CALLED)
def test_nothing_is_granted_without_being_called_but_for_a_reason(roles: dict[str, Role], stack: Stack, function: str) -> None:
    """Of each grant that no call needed the reason is known; a reason for one that was called, or is not there, is stale."""
    role = roles[function]
    assert {short(stack, grant) for grant in role.granted - role.used} == NEVER_CALLED[function].keys()
