"""Consumes the intake queue: takes uploads in, once each, and splits documents into pages that wait to be read."""

from __future__ import annotations

import os
from collections.abc import Callable

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function

from escriba.aws.clients import client
from escriba.errors import MessageError, RetryableError
from escriba.messages import ObjectCreated, SplitContinued, decode
from escriba.ports import Ports
from escriba.settings import Settings
from escriba.stages.redrive import redrive_as_mended
from escriba.stages.split import accept, attend, plan
from lambdas.entry import Received, sqs_handler

_FOUR_DAYS = 4 * 86_400  # as long as an upload's event can stay in the queue


def work(received: Received, ports: Ports) -> None:
    """Take in an upload through the guarded door, then split it."""
    split(received, ports, lambda upload: _accept_once(upload, received, ports))


def split(received: Received, ports: Ports, take_in: Callable[[ObjectCreated], str]) -> None:
    """An upload's event, or the continuation of a long document."""
    message = decode(received.message.body)
    if isinstance(message, ObjectCreated):
        document_id = take_in(message)
    elif isinstance(message, SplitContinued):
        document_id = message.document_id
    else:
        raise MessageError(f"the intake queue carries no {message.detail_type!r}")
    if not document_id:
        return
    try:
        if isinstance(message, ObjectCreated):
            redrive_as_mended(document_id, message, ports)
            attend(document_id, message, ports)
        else:
            document = ports.ledger.document(document_id)
            if document.generation == message.generation:
                plan(document, message.first, ports)
    except RetryableError as error:
        ports.ledger.note_failure(document_id, str(error))
        raise


def _accept_once(upload: ObjectCreated, received: Received, ports: Ports) -> str:
    """`accept`, guarded at the door: however often an upload's event arrives, it is taken in once."""
    store = DynamoDBPersistenceLayer(table_name=Settings.from_env(os.environ).idempotency_table, boto3_client=client("dynamodb"))
    config = IdempotencyConfig(expires_after_seconds=_FOUR_DAYS, lambda_context=received.context)

    @idempotent_function(data_keyword_argument="door", persistence_store=store, config=config, key_prefix="accept")  # type: ignore[untyped-decorator]
    def guarded(door: dict[str, str]) -> dict[str, str]:  # noqa: ARG001  (Powertools makes its key of it)
        return {"document_id": accept(upload, ports)}

    door = {"bucket": upload.bucket.name, "key": upload.object.key, "version": upload.object.version_id}
    return str(guarded(door=door)["document_id"])


handler = sqs_handler(work)
