"""Turns a stage into a Lambda handler for SQS: ports made once a worker, one answer a record, metrics flushed at the end."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.parser.models import SqsRecordModel

from escriba.aws.clients import client
from escriba.aws.ecs import EcsService
from escriba.aws.events import EventBridgeBus
from escriba.aws.ledger import DynamoLedger
from escriba.aws.objects import S3ObjectStore
from escriba.aws.queue import SqsQueue
from escriba.aws.recovery import DynamoRecovery
from escriba.aws.secrets import SecretsManager
from escriba.aws.telemetry import PowertoolsMeter
from escriba.backends import Backend
from escriba.errors import EscribaError, VisionAway
from escriba.guards import repetition
from escriba.isolation import IsolatedReader
from escriba.memory.clock import SystemClock
from escriba.ports import Delivery, Ports
from escriba.settings import Settings
from escriba.vision import VisionModel


@dataclass(frozen=True)
class Received:
    """One message, the short name of the queue it came from, and the invocation's Lambda context."""

    queue: str
    message: Delivery
    context: Any


Work = Callable[[Received, Ports], None]
"""What a function does with one message; raising means that it failed."""
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

_worker = threading.local()
_vision: dict[Backend, VisionModel] = {}
_vision_lock = threading.Lock()


def sqs_handler(work: Work) -> Handler:
    """A Lambda handler that answers with the messages that failed (ReportBatchItemFailures)."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        ports = worker_ports()

        def one(record: SqsRecordModel) -> None:
            queue = record.eventSourceARN.rpartition(":")[2]
            delivery = Delivery(record.messageId, record.receiptHandle, str(record.body), int(record.attributes.ApproximateReceiveCount))
            try:
                work(Received(short_name(queue), delivery, context), ports)
            except Exception as error:
                if not isinstance(error, VisionAway):  # which waits as it is meant to
                    ports.meter.count("MessagesFailed")
                # Only our own sentences are known to hold no document text.
                reason = str(error) if isinstance(error, EscribaError) else ""
                ports.meter.log(
                    "error", "message failed", queue=queue, message_id=record.messageId, error=type(error).__name__, reason=reason
                )
                raise

        processor = BatchProcessor(EventType.SQS, model=SqsRecordModel, raise_on_entire_batch_failure=False)
        try:
            return dict(process_partial_response(event=event, record_handler=one, processor=processor, context=context))
        finally:
            ports.meter.flush()

    return handler


def scheduled_handler(work: Callable[[Ports], None]) -> Handler:
    """A Lambda handler for a schedule: what fails is an error of the function, and the schedule comes again by itself."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001  (Lambda's signature)
        ports = worker_ports()
        try:
            work(ports)
        finally:
            ports.meter.flush()
        return {}

    return handler


def short_name(queue: str) -> str:
    """The topology's name of a queue: deployments put a prefix before it, set apart by `--`."""
    return queue.rpartition("--")[2]


def worker_ports() -> Ports:
    """The ports of this sandbox (of this thread, where several run in one process), made on first use."""
    if not hasattr(_worker, "ports"):
        _worker.ports = compose(Settings.from_env(os.environ))
    ports: Ports = _worker.ports
    return ports


def release_worker() -> None:
    """End what `worker_ports` started for this thread."""
    ports: Ports | None = _worker.__dict__.pop("ports", None)
    if ports is not None:
        ports.reader.close()


def vision_model(backend: Backend) -> VisionModel:
    """What asks a backend: one a process, for it knows how busy and how well the backend is."""
    with _vision_lock:
        if backend not in _vision:
            from escriba.engines.vision import VisionClient  # noqa: PLC0415  (only those who ask have its packages)

            key = SecretsManager(client("secretsmanager")).get(backend.key_secret) if backend.key_secret else ""
            hosts = (urlsplit(backend.base_url).hostname or "",) if backend.trusted else ()
            _vision[backend] = VisionClient(
                backend.base_url,
                key=key,
                own=not backend.external,
                trusted_hosts=hosts,
                concurrency=backend.concurrency,
                limit_name="max_completion_tokens" if backend.external else "max_tokens",
                watch=repetition.Watch,
            )
        return _vision[backend]


def compose(settings: Settings) -> Ports:
    """The ports of one worker on AWS, its reader's process included."""
    clock = SystemClock()
    queues = {name: SqsQueue(client("sqs"), url, name, client("cloudwatch")) for name, url in settings.queues.items()}
    scratch = Path(tempfile.mkdtemp(prefix="escriba-")) / "files"
    scratch.mkdir()
    return Ports(
        inbox=S3ObjectStore(client("s3"), settings.inbox_bucket),
        results=S3ObjectStore(client("s3"), settings.results_bucket),
        ledger=DynamoLedger(client("dynamodb"), settings.ledger_table, clock),
        recovery=DynamoRecovery(client("dynamodb"), settings.ledger_table, clock),
        queues=queues,
        events=EventBridgeBus(client("events"), settings.event_bus),
        clock=clock,
        meter=PowertoolsMeter(settings.telemetry_file, settings.metric_namespace),
        reader=IsolatedReader(memory_mb=settings.reader_memory_mb),
        secrets=SecretsManager(client("secretsmanager")),
        scratch=scratch,
        upgrade_window=settings.upgrade_window,
        policies=settings.policies,
        backends=settings.backends,
        vision=vision_model,
        gpu_service=EcsService(client("ecs"), settings.gpu_service) if settings.gpu_service else None,
    )
