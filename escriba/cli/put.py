"""`escriba put`: files into the inbox of a deployed stack; S3 tells the pipeline, which reads them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from escriba.cli.files import choose
from escriba.cli.places import place
from escriba.identity import job_id, upload_key


def put(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders (PDF and pictures).", metavar="PATH...")],
    stack: Annotated[str, typer.Option(help="A deployed Core stack. (A local run has no door that stays open: escriba run.)")],
    tenant: Annotated[str, typer.Option(help="Whose documents they are.")] = "default",
    policy: Annotated[str, typer.Option(help="The deployed policy by which they are read.")] = "default",
) -> None:
    """Upload documents; prints for each the id of its job and the address by which escriba status finds it."""
    chosen = choose(paths)
    with place(stack, Path()) as where:
        for path in chosen.files:
            key = upload_key(tenant, policy, os.fsencode(path.name).decode("utf-8", "replace"))
            version = where.inbox.upload(path, key)
            address = f"s3://{where.inbox_bucket}/{quote(key)}?versionId={version}"
            sys.stdout.write(f"{job_id(where.inbox_bucket, key, version)}  {address}\n")
    for note in chosen.notes:
        sys.stderr.write(note + "\n")
