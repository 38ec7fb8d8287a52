"""Takes an upload in, decides every page's route, lays each page down in the ledger and sends the waiting ones to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from escriba import models
from escriba.backends import choose
from escriba.errors import Encrypted, NotFound, PermanentError, UnknownPolicy
from escriba.guards.limits import check_bytes, check_pages
from escriba.identity import document_id, job_id, original_key, page_object_key, parse_upload_key, plain_copy_key, policy_key
from escriba.ledger import FINISHED, FORGOTTEN, DocumentRow, JobRow, PagesRow
from escriba.messages import ObjectCreated, PagesRequested, SplitContinued, encode
from escriba.policy import Policy
from escriba.ports import Inspection, Ports
from escriba.stages import announce, escalate
from escriba.stages.correct_text import PROMPT_VERSION, correctors
from escriba.stages.scratch import fetch, fetch_upload
from escriba.topology import PAGES_PER_SPLIT
from escriba.triage import choose_route, pack


def accept(upload: ObjectCreated, ports: Ports) -> str:
    """Record the upload as a job and move its bytes out of the inbox; returns the document's id, or "" when it was rejected."""
    key, version = upload.object.key, upload.object.version_id
    job = JobRow(job_id=job_id(upload.bucket.name, key, version), tenant="", key=key)
    known = ports.ledger.job(job.job_id)
    if known is None or known.code in {"failed", FORGOTTEN}:
        # A quarantine may have given up an upload whose event was still to come; the reconciler may have sent for it.
        try:
            known = _take_in(upload, job, ports)
        except PermanentError as error:
            known = JobRow(job_id=job.job_id, tenant=job.tenant, key=key, code=error.code, reason=str(error))
            ports.ledger.reject_job(known)
            ports.meter.log("warning", "upload rejected", job_id=job.job_id, code=error.code)
    if known.document_id:
        # What stays in the inbox has not been taken; only after the job is on record may the upload go.
        ports.inbox.delete(key, version=version)
    return known.document_id


def _take_in(upload: ObjectCreated, job: JobRow, ports: Ports) -> JobRow:
    owner = parse_upload_key(upload.object.key)
    policy = policy_named(owner.policy, ports)
    size = ports.inbox.size(upload.object.key, version=upload.object.version_id)
    check_bytes(size, policy.limits)
    path = fetch_upload(upload.object.key, upload.object.version_id, ports)
    sha256 = _sha256(path)
    versions = {**ports.reader.engine_versions(policy), **vision_versions(policy, ports)}
    identity = document_id(owner.tenant, sha256, policy.fingerprint(versions))
    ports.results.upload(path, original_key(owner.tenant, sha256))
    job = JobRow(job_id=job.job_id, tenant=owner.tenant, key=job.key, document_id=identity)
    ports.ledger.accept(
        job,
        DocumentRow(
            document_id=identity,
            job_id=job.job_id,
            tenant=owner.tenant,
            policy=policy.model_dump_json(),
            sha256=sha256,
            name=owner.name,
            original_key=original_key(owner.tenant, sha256),
        ),
    )
    return job


def attend(identity: str, upload: ObjectCreated, ports: Ports) -> None:
    """What an accepted upload's event leads to: its document planned, or, when that is another upload's business, nothing new."""
    document = ports.ledger.document(identity)
    if document.state in FINISHED:
        announce.completed(document, ports)
    elif document.job_id == job_id(upload.bucket.name, upload.object.key, upload.object.version_id):
        plan(document, 1, ports)


def plan(document: DocumentRow, first: int, ports: Ports) -> None:
    """Look at the pages from `first` on, lay them down in the ledger, and once all are there send them to be read."""
    identity = document.document_id
    if document.state == "RECEIVED":
        try:
            successor = _lay_down(document, first, ports)
        except PermanentError as error:
            announce.completed(ports.ledger.reject(identity, error.code, str(error)), ports)
            return
        if successor:
            message = SplitContinued(sent_at=ports.clock.now(), document_id=identity, first=successor, generation=document.generation)
            ports.queues["intake"].send([encode(message)], tenant=document.tenant)
            return
        document = ports.ledger.document(identity)
    if document.state == "PLANNED":
        send_waiting(document, ports.ledger.pages(identity), ports)
        document = ports.ledger.reading(identity)
    announce.ready(document, ports)


def _lay_down(document: DocumentRow, first: int, ports: Ports) -> int:
    """Rows and page objects for one range of pages; returns where the next range begins, 0 when this was the last."""
    policy = Policy.model_validate_json(document.policy)
    key, path = _source(document, policy, ports)
    seen = ports.reader.inspect(path, policy, first, first + PAGES_PER_SPLIT - 1)
    check_pages(seen.total, policy.limits)
    ports.ledger.add_pages(document.document_id, _rows(document, seen, policy, key, path, ports))
    last = first + len(seen.features) - 1
    if last < seen.total:
        return last + 1
    ports.ledger.planned(document.document_id, seen.total, seen.media_type)
    return 0


def _source(document: DocumentRow, policy: Policy, ports: Ports) -> tuple[str, Path]:
    """Key and file from which the pages are read: the original, or a plain copy of one that is encrypted or a portfolio."""
    path = fetch(document.original_key, ports)
    copy = ports.reader.prepare(path, policy, _passwords(policy, ports))
    if copy is None:
        return document.original_key, path
    key = plain_copy_key(document.document_id)
    ports.results.upload(copy, key)
    return key, copy


def _passwords(policy: Policy, ports: Ports) -> Sequence[str]:
    if not policy.password_secret:
        return ()
    try:
        return ports.secrets.get(policy.password_secret).splitlines()
    except NotFound:
        raise Encrypted(f"the policy's password_secret = {policy.password_secret!r} names no secret that can be read here") from None


def _rows(document: DocumentRow, seen: Inspection, policy: Policy, key: str, path: Path, ports: Ports) -> list[PagesRow]:
    rows = []
    for first, last, route in pack([(page.number, choose_route(page, policy.triage)) for page in seen.features]):
        object_key, offset = key, 0
        if route == "ocr" and seen.total > 1:
            # The reader of one page shall not have to fetch a thousand: it gets a file of its own.
            object_key, offset = _cut(document, first, policy, key, path, ports)
        rows.append(PagesRow(first=first, last=last, route=route, object_key=object_key, offset=offset, generation=document.generation))
    return rows


def _cut(document: DocumentRow, number: int, policy: Policy, key: str, path: Path, ports: Ports) -> tuple[str, int]:
    """Object and offset of one page's own file; the whole document's when the page cannot be taken out: its reader will say why."""
    try:
        content = ports.reader.cut(path, policy, number)
    except PermanentError:
        return key, 0
    object_key = page_object_key(document.document_id, number)
    ports.results.put(object_key, content)
    return object_key, number - 1


def send_waiting(document: DocumentRow, rows: Iterable[PagesRow], ports: Ports) -> None:
    """Send a message for each waiting row."""
    waiting = [row for row in rows if row.state == "WAITING"]
    bodies = [encode(request(document, row, ports)) for row in waiting if not row.escalated_at]
    if bodies:
        ports.queues["pages"].send(bodies, tenant=document.tenant)
    for row in waiting:
        if row.escalated_at:
            escalate.send_again(document, row, ports)


def request(document: DocumentRow, row: PagesRow, ports: Ports) -> PagesRequested:
    """The message that has this row read."""
    return PagesRequested(
        sent_at=ports.clock.now(),
        document_id=document.document_id,
        first=row.first,
        last=row.last,
        generation=row.generation,
        route=row.route,
        object_key=row.object_key,
        offset=row.offset,
    )


def policy_named(name: str, ports: Ports) -> Policy:
    """The policy of that name: the deployment's, else one put into the results bucket, else (for `default`) the defaults."""
    if name in ports.policies:
        return ports.policies[name]
    try:
        return Policy.model_validate_json(ports.results.get(policy_key(name)))
    except NotFound:
        if name == "default":
            return Policy()
        raise UnknownPolicy(
            f"there is no policy named {name!r} here; deploy it as policies/{name}.toml or use the policy 'default'"
        ) from None


def vision_versions(policy: Policy, ports: Ports) -> Mapping[str, str]:
    """Name and version of each model that a page may be sent to: another model, or another prompt, makes another reading."""
    offered = [(backend, models.model(backend.model)) for backend in choose(ports.backends, policy)]
    versions = {f"vision {model.signature(backend.served_as)}": model.version for backend, model in offered}
    return versions | ({"correction": PROMPT_VERSION} if correctors(ports.backends, policy) else {})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
