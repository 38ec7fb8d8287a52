"""Documents of every kind sent through a deployed stack, from its inbox to wherever they end."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import boto3
import pytest

from escriba.aws.clients import client
from escriba.aws.queue import SqsQueue
from escriba.local.dispatcher import Dispatcher
from escriba.memory.clock import SystemClock
from escriba.policy import Limits, Policy
from escriba.settings import Settings
from escriba.stages import split
from escriba.topology import TOPOLOGY
from tests.documents import picture, text_pdf
from tests.infra.deployed import Stack

UPLOADS = {
    "inbox/acme/default/invoice.pdf": text_pdf("Invoice 41", "Second page"),
    "inbox/acme/default/receipt.png": picture("RECEIPT 77"),
    "inbox/acme/default/broken.pdf": b"%PDF-1.7 and no more",
    "inbox/acme/hasty/slow.png": picture("TOO SLOW"),
    "inbox/acme/unknown/x.pdf": b"x",
    "elsewhere/acme/default/x.pdf": b"not for us",
}


def send_all(stack: Stack, more: Mapping[str, bytes] = MappingProxyType({})) -> Settings:
    """Upload these and `more`, make up for what moto leaves out of the stack, and work until every queue is empty; the settings of the deployment."""
    s3, inbox, results = boto3.client("s3"), stack.outputs["InboxBucket"], stack.outputs["ResultsBucket"]
    s3.put_bucket_versioning(Bucket=inbox, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(Bucket=inbox, NotificationConfiguration={"EventBridgeConfiguration": {}})
    hasty = Policy(name="hasty", limits=Limits(page_seconds=0.001))
    s3.put_object(Bucket=results, Key="policies/hasty.json", Body=hasty.model_dump_json().encode())
    for key, content in {**UPLOADS, **more}.items():
        s3.put_object(Bucket=inbox, Key=key, Body=content)
    settings = Settings.from_env(stack.environment("quarantine"))
    queues_of(settings)["pages"].send(["not a message"])
    work_off(stack)
    return settings


def queues_of(settings: Settings) -> dict[str, SqsQueue]:
    """The deployment's queues by their short names."""
    return {name: SqsQueue(client("sqs"), url, url.rpartition("/")[2]) for name, url in settings.queues.items()}


def work_off(stack: Stack) -> None:
    """Work until every queue is empty."""
    queues = queues_of(Settings.from_env(stack.environment("quarantine")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "PAGES_PER_SPLIT", 1)  # the second page is planned by a second invocation
        Dispatcher(TOPOLOGY, queues, stack.handlers(), SystemClock(), retry_delay=0).run()
