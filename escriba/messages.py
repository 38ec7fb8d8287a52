"""Every message that crosses a queue or the event bus: frozen, versioned, in one EventBridge envelope.

A message carries keys, never pixels and never document text. Consumers read `SCHEMA_VERSION` and the one before it.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from escriba.document import PageState, Route, Urgency
from escriba.errors import MessageError

SCHEMA_VERSION = 1
OLDEST_READABLE_VERSION = 1
SOURCE = "escriba"


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Message(_Contract):
    detail_type: ClassVar[str]
    schema_version: int = Field(default=SCHEMA_VERSION, ge=OLDEST_READABLE_VERSION, le=SCHEMA_VERSION)
    sent_at: datetime


class SplitContinued(_Message):
    """Split goes on with this document from page `first` (from 1); its upload is already accepted."""

    detail_type: ClassVar[str] = "Split Continued"
    document_id: str
    first: int = Field(ge=1)
    generation: int = Field(default=1, ge=1)


class PagesRequested(_Message):
    """Pages `first` to `last` (inclusive, from 1) of a document wait to be read by one route.

    `object_key` names what to open in the results bucket; its page 1 is page `offset` + 1 of the document.
    """

    detail_type: ClassVar[str] = "Pages Requested"
    document_id: str
    first: int = Field(ge=1)
    last: int = Field(ge=1)
    generation: int = Field(ge=1)
    route: Route
    object_key: str
    offset: int = Field(ge=0)


class VisionRequested(_Message):
    """Page `page` (from 1) was read by CPU OCR and waits for a better reading; what was read so far is named in its row.

    `object_key` and `offset` are those of `PagesRequested`; the time that the page may wait is counted from `escalated_at`.
    """

    detail_type: ClassVar[str] = "Vision Requested"
    document_id: str
    page: int = Field(ge=1)
    generation: int = Field(ge=1)
    object_key: str
    offset: int = Field(ge=0)
    escalated_at: datetime
    urgency: Urgency = "interactive"


class DocumentReady(_Message):
    """No page of the document waits any more: revision `revision` can be assembled."""

    detail_type: ClassVar[str] = "Document Ready"
    document_id: str
    revision: int = Field(ge=1)


class DocumentCompleted(_Message):
    """A revision is current (or the document was rejected); `jobs` are the uploads it answers."""

    detail_type: ClassVar[str] = "Document Completed"
    document_id: str
    tenant: str
    state: Literal["DONE", "PARTIAL", "REJECTED"]
    reason: str = ""
    revision: int
    output_prefix: str
    pages: dict[PageState, int]


Message = SplitContinued | PagesRequested | VisionRequested | DocumentReady | DocumentCompleted
_KINDS: tuple[type[Message], ...] = (SplitContinued, PagesRequested, VisionRequested, DocumentReady, DocumentCompleted)
_BY_TYPE: dict[str, type[Message]] = {kind.detail_type: kind for kind in _KINDS}


class _Bucket(BaseModel):
    name: str


class _S3Object(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    key: str
    size: int = 0
    version_id: Annotated[str, Field(alias="version-id")] = ""


class ObjectCreated(BaseModel):
    """S3's own "Object Created" event detail, of which only what Escriba needs is read (AWS may add fields)."""

    detail_type: ClassVar[str] = "Object Created"
    bucket: _Bucket
    object: _S3Object


class Envelope(BaseModel):
    """An EventBridge event: AWS's for uploads, ours for everything else; fields not named here are AWS's own."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    version: str = "0"
    id: str = ""
    detail_type: Annotated[str, Field(alias="detail-type")]
    source: str
    detail: dict[str, Any]


_ENVELOPE = TypeAdapter(Envelope)


def encode(message: Message) -> str:
    """The message as the JSON text of its envelope."""
    envelope = {
        "version": "0",
        "detail-type": message.detail_type,
        "source": SOURCE,
        "time": message.sent_at.isoformat(),
        "detail": message.model_dump(mode="json"),
    }
    return json.dumps(envelope, separators=(",", ":"), sort_keys=True)


def object_created(bucket: str, key: str, version: str, size: int, time: datetime) -> str:
    """The event that S3 sends through EventBridge for an upload, for a caller that stands in for it."""
    stored = {"key": key, "size": size, "version-id": version}
    detail = {"version": "0", "bucket": {"name": bucket}, "object": stored, "reason": "PutObject"}
    envelope = {"version": "0", "detail-type": ObjectCreated.detail_type, "source": "aws.s3", "time": time.isoformat(), "detail": detail}
    return json.dumps(envelope)


def decode(body: str) -> Message | ObjectCreated:
    """Read an envelope. Raises `MessageError` naming what is wrong, never the content."""
    try:
        envelope = _ENVELOPE.validate_json(body)
    except ValidationError as error:
        raise MessageError(f"not an event envelope ({error.error_count()} fields are wrong)") from None
    kind: type[Message | ObjectCreated] | None
    if envelope.source == SOURCE:
        kind = _BY_TYPE.get(envelope.detail_type)
    else:
        kind = ObjectCreated if (envelope.source, envelope.detail_type) == ("aws.s3", ObjectCreated.detail_type) else None
    if kind is None:
        raise MessageError(f"unknown message {envelope.source!r} {envelope.detail_type!r}")
    try:
        return kind.model_validate(envelope.detail)
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, e["loc"])) for e in error.errors()}))
        version = envelope.detail.get("schema_version")
        raise MessageError(f"{envelope.detail_type} (schema version {version!r}) does not fit: {wrong}") from None
