"""`escriba show`: a document's ledger as an earlier run left it: each page, its state, engine, failures and reason."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from escriba.cli.outcome import PIPED_WIDTH, ROUTES
from escriba.errors import ConfigurationError
from escriba.ledger import DocumentRow, conservation_violation
from escriba.local.pipeline import STATE_DIRECTORY, LocalPipeline, local_pipeline


def show(
    document: Annotated[str, typer.Argument(help="A file name, its stem, or the beginning of a document id.")],
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("out"),
) -> None:
    """Print what the ledger knows of a document: each page, state, engine, failures, reason."""
    if not (out / STATE_DIRECTORY / "journal.sqlite").is_file():
        raise ConfigurationError(f"{out} holds no run; name the folder that you gave to escriba run with --out")
    with local_pipeline(out) as pipeline:
        for found in _find(pipeline, document):
            _print(pipeline, found)


def _find(pipeline: LocalPipeline, wanted: str) -> list[DocumentRow]:
    documents = list(pipeline.ports.ledger.documents())
    name = Path(wanted).name
    found = [d for d in documents if name in {d.name, Path(d.name).stem} or (len(wanted) >= 4 and d.document_id.startswith(wanted))]  # noqa: PLR2004
    if not found:
        known = ", ".join(sorted(d.name for d in documents)[:10]) or "none"
        raise ConfigurationError(f"the run knows no document {wanted!r}; it knows {known}")
    return found


def _print(pipeline: LocalPipeline, document: DocumentRow) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    rows = list(pipeline.ports.ledger.pages(document.document_id))
    console.print(f"{document.name}  {document.document_id}  {document.state}  revision {document.current}", highlight=False, markup=False)
    if document.reason:
        console.print(document.reason, highlight=False, markup=False)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("pages", "state", "route", "engine"):
        table.add_column(name, no_wrap=True)
    for name in ("fail-\nures", "seconds", "conf."):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for row in rows:
        pages = str(row.first) if row.first == row.last else f"{row.first}-{row.last}"
        sure = "" if row.confidence is None else f"{row.confidence:.3f}"
        table.add_row(
            pages, row.state, ROUTES[row.route], row.engine, str(row.attempts), f"{row.seconds:.2f}", sure, row.reason or row.failure
        )
    console.print(table)
    counts = f"{document.total} pages = {document.done} done + {document.degraded} degraded + {document.quarantined} quarantined + {document.waiting} waiting"
    console.print(conservation_violation(document, rows) or counts, highlight=False)
