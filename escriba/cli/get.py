"""`escriba get`: a document's current outputs into a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from escriba.cli.outcome import deliver_to
from escriba.cli.places import Stack, Wanted, find, place, without_document
from escriba.errors import ConfigurationError


def get(
    wanted: Wanted,
    to: Annotated[Path, typer.Option(help="Where the results go: a folder of the document's name is made in it.")] = Path(),
    stack: Stack = "",
    out: Annotated[Path, typer.Option(help="The folder of a local run.")] = Path("out"),
) -> None:
    """Download what was read; a later revision replaces an earlier one in the same folder."""
    taken: set[Path] = set()
    with place(stack, out) as where:
        for job, document in find(where, wanted):
            if document is None or not document.current:
                state = f"it is {document.state}, {document.waiting} pages are waiting" if document else without_document(job)
                raise ConfigurationError(f"nothing has been delivered for {wanted!r}: {state}")
            folder = deliver_to(to, document.name, document, where.results, taken)
            sys.stdout.write(f"{document.name}: {document.state}, {folder}\n")
