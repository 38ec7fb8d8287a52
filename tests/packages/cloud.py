"""An AWS that other processes reach: moto behind a port of this machine, with what the topology names, and a document laid down in it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from moto.server import ThreadedMotoServer

from escriba.aws.clients import forget_clients
from escriba.identity import original_key, page_object_key
from escriba.ledger import DocumentRow, JobRow, PagesRow
from escriba.local.embedded_aws import REGION, provision
from escriba.messages import Message, ObjectCreated, decode
from escriba.policy import Policy
from escriba.ports import Ports
from escriba.settings import Settings
from escriba.stages.recognise import recognise
from escriba.stages.split import request
from escriba.topology import TOPOLOGY
from lambdas.entry import release_worker, worker_ports
from tests.documents import EXAMPLES, ROOT

EVENTS = ROOT / "tests" / "events"
TENANT, DOCUMENT = "acme", EXAMPLES / "mixed.pdf"
PIXELS, PAGES = 2, 4
"""The page of `DOCUMENT` that has no text layer, of how many."""
POLICY = Policy(name="english", languages=("eng",))
"""The deployment's policy here: data for Portuguese comes with apt, which is not replayed."""


@dataclass(frozen=True)
class Cloud:
    """A deployment's settings, what a function's environment adds to reach it, and our own way in."""

    settings: Settings
    account: dict[str, str]
    ports: Ports

    def environment(self) -> dict[str, str]:
        """All that a function is told."""
        return self.account | self.settings.to_env()


@contextmanager
def cloud(scratch: Path) -> Iterator[Cloud]:
    """A fresh one while the context lasts; the environment names it too, and is restored."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it would log every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    account = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "moto",
        "AWS_SECRET_ACCESS_KEY": "moto",
        "TMPDIR": str(scratch),
    }
    try:
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()  # noqa: S310  (our own)
        with patch.dict(os.environ, account):
            forget_clients()
            settings = provision(TOPOLOGY).model_copy(update={"policies": {POLICY.name: POLICY}, "reader_memory_mb": 2752})
            with patch.dict(os.environ, settings.to_env()):
                yield Cloud(settings, account, worker_ports())
    finally:
        release_worker()
        forget_clients()
        server.stop()


def recorded(function: str) -> tuple[Any, list[Message | ObjectCreated | None]]:
    """A recorded event of a function, and its messages; None for what is none."""
    event = json.loads((EVENTS / f"{function}.json").read_text())
    bodies = [record["body"] for record in event["Records"]]
    return event, [decode(body) if body.startswith("{") else None for body in bodies]


def lay_down(cloud: Cloud, document_id: str, policy: Policy = POLICY) -> DocumentRow:
    """`DOCUMENT` under the id of a recorded event, as split leaves it: pages waiting, their bytes in the results bucket."""
    ports, content = cloud.ports, DOCUMENT.read_bytes()
    original = original_key(TENANT, hashlib.sha256(content).hexdigest())
    ports.results.put(original, content)
    ports.results.put(page_object_key(document_id, PIXELS), ports.reader.cut(DOCUMENT, policy, PIXELS))
    row = DocumentRow(
        document_id=document_id,
        job_id="a job",
        tenant=TENANT,
        policy=policy.model_dump_json(),
        sha256=original.rpartition("/")[2],
        name=DOCUMENT.name,
        original_key=original,
    )
    ports.ledger.accept(JobRow(job_id="a job", tenant=TENANT, key="a key", document_id=document_id), row)
    waiting = [
        PagesRow(first=1, last=1, route="text_layer", object_key=original, offset=0),
        PagesRow(first=2, last=2, route="ocr", object_key=page_object_key(document_id, PIXELS), offset=PIXELS - 1),
        PagesRow(first=3, last=4, route="text_layer", object_key=original, offset=0),
    ]
    ports.ledger.add_pages(document_id, waiting)
    ports.ledger.planned(document_id, PAGES, "application/pdf")
    return ports.ledger.reading(document_id)


def read_all(cloud: Cloud, document: DocumentRow) -> None:
    """Every page of a document laid down, by this environment's own stages."""
    for row in list(cloud.ports.ledger.pages(document.document_id)):
        recognise(request(document, row, cloud.ports), 1, cloud.ports)
