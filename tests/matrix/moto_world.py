"""The same world on moto: the real Lambda handlers, their metrics as Powertools writes them, and moto's SQS and CloudWatch on the movable clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import moto.s3.models
import moto.sqs.models
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends

import escriba.aws.queue
import lambdas.canary
from escriba.aws.clients import client
from escriba.aws.ledger import DynamoLedger
from escriba.aws.objects import S3ObjectStore
from escriba.aws.queue import SqsQueue
from escriba.cli.reading import HANDLERS
from escriba.identity import parse_upload_key
from escriba.ledger import DocumentRow
from escriba.local.embedded_aws import REGION, embedded_aws
from escriba.local.simulation import Simulation
from escriba.messages import object_created
from escriba.ports import Ports
from escriba.topology import TOPOLOGY
from lambdas import entry
from tests.faults.harness import OWN
from tests.matrix.world import EVERY, World, _says, _with

CHECK_EVERY = 15
"""Minutes between two checks of the conservation law: each reads every document."""


class MeasuredQueue(SqsQueue):
    """A queue whose true age is told to moto's CloudWatch, where the reconciler looks for it."""

    now: Any

    def oldest(self) -> float | None:
        queue = sqs_backends[DEFAULT_ACCOUNT_ID][REGION].queues[self.name]
        sent = [message.sent_timestamp / 1000 for message in queue._messages]
        now = self.now()
        age = max((now.timestamp() - at for at in sent), default=0.0)
        if sent:
            data: Any = {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": self.name}],
                "Timestamp": now,
                "Value": age,
            }
            client("cloudwatch").put_metric_data(Namespace="AWS/SQS", MetricData=[data])
        return age


class MotoWorld(World):
    """One embedded AWS with its clock, its metrics and its uploads."""

    def _make(self, scratch: Path) -> None:
        self._telemetry = scratch / "telemetry.jsonl"
        self._read = 0
        settings = entry.Settings.from_env(entry.os.environ)
        queues = {name: MeasuredQueue(client("sqs"), url, name) for name, url in settings.queues.items()}
        for queue in queues.values():
            queue.now = self.clock.now
        self.inbox = S3ObjectStore(client("s3"), settings.inbox_bucket)  # type: ignore[assignment]
        self.simulation = Simulation(TOPOLOGY, queues, HANDLERS, self.clock, self.store, self._duration, poll=60)
        self.simulation.on_minute.append(self._collect)
        # With a client of its own, which no fault disturbs.
        self._true_ledger = DynamoLedger(boto3.client("dynamodb", region_name=REGION), settings.ledger_table, self.clock)
        self._put = threading.local()
        events = client("s3").meta.events
        events.register("provide-client-params.s3.PutObject", self._remember)
        events.register("after-call.s3.PutObject", self._tell_of_upload)

    def stream(self, seconds: float, every: float = EVERY, upload: Callable[[], object] | None = None) -> None:
        """Half as many uploads: each costs moto half a second."""
        super().stream(seconds, 2 * every, upload)

    @property
    def ports(self) -> Ports:
        return entry.worker_ports()

    def put_on(self, **ports: object) -> None:
        entry._worker.ports = _with(self.ports, **ports)

    def change_sends(self, change: Callable[[list[str]], list[str]]) -> Callable[[], None]:
        whole = SqsQueue.send

        def send(queue: SqsQueue, bodies: Sequence[str], **kwargs: Any) -> None:
            whole(queue, bodies if queue.name.endswith("-dlq") else change(list(bodies)), **kwargs)

        SqsQueue.send = send  # type: ignore[method-assign]
        return lambda: setattr(SqsQueue, "send", whole)

    def _remember(self, params: dict[str, Any], **_: Any) -> None:
        self._put.upload = (params["Bucket"], params["Key"], len(params["Body"]))

    def _tell_of_upload(self, parsed: dict[str, Any], **_: Any) -> None:
        bucket, key, size = self._put.upload
        if bucket == self.inbox.bucket and not getattr(self.inbox, "silent", False):
            event = object_created(bucket, key, parsed["VersionId"], size, self.clock.now())
            self.simulation.queues["intake"].send([event], tenant=parse_upload_key(key).tenant)

    def _collect(self) -> None:
        """What the handlers have written since, at the time of this clock."""
        text = self._telemetry.read_text() if self._telemetry.exists() else ""
        self.store.add_emf(text[self._read :].splitlines(), at=self.simulation.now)
        self._read = len(text)

    def _check_conservation(self) -> None:
        if round(self.simulation.now / 60) % CHECK_EVERY == 0:
            super()._check_conservation()

    @property
    def true_ledger(self) -> Any:
        return self._true_ledger

    def pipeline_ledger_documents(self) -> Iterator[DocumentRow]:
        return self._true_ledger.documents()


class _Now(datetime):
    clock: Any

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        found: datetime = cls.clock.now()
        return found


@contextmanager
def moto_world() -> Iterator[MotoWorld]:
    """A world of its own; everything that asks for the time is told the movable clock's."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch, embedded_aws(TOPOLOGY) as settings:
        told = settings.model_copy(update={"telemetry_file": str(Path(name) / "telemetry.jsonl"), "upgrade_window": 1, "backends": (OWN,)})
        for variable, value in told.to_env().items():
            patch.setenv(variable, value)
        made = MotoWorld(Path(name))
        patch.setattr(entry, "SystemClock", lambda: made.clock)
        patch.setattr(entry, "IsolatedReader", lambda **_: made.reader)
        patch.setattr(entry, "vision_model", lambda _: made.vision)
        patch.setattr(lambdas.canary, "digital_page", _says("t"))
        patch.setattr(lambdas.canary, "scanned_page", _says("o"))
        patch.setattr(moto.sqs.models, "unix_time_millis", lambda *_: made.simulation.now * 1000)
        patch.setattr(moto.sqs.models, "unix_time", lambda *_: made.simulation.now)
        patch.setattr(moto.s3.models, "utcnow", lambda: made.clock.now().astimezone(UTC).replace(tzinfo=None))
        patch.setattr(escriba.aws.queue, "datetime", type("Now", (_Now,), {"clock": made.clock}))
        entry.release_worker()
        try:
            yield made
        finally:
            entry.release_worker()
