"""`escriba show`: a document's ledger as an earlier run left it: each page, its state, engine, failures and reason."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from escriba.cli.outcome import PIPED_WIDTH, route_of
from escriba.cli.places import Place, Stack, Wanted, find, place
from escriba.cli.wording import some
from escriba.conservation import conservation_violation
from escriba.ledger import DocumentRow


def show(
    document: Wanted,
    out: Annotated[Path, typer.Option(help="The folder of a local run.")] = Path("out"),
    stack: Stack = "",
) -> None:
    """Print what the ledger knows of a document: each page, state, engine, failures, reason."""
    with place(stack, out) as where:
        for _, found in find(where, document):
            if found is not None:
                _print(where, found)


def _print(where: Place, document: DocumentRow) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    rows = list(where.ledger.pages(document.document_id))
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
        table.add_row(pages, row.state, route_of(row), row.engine, str(row.attempts), f"{row.seconds:.2f}", sure, row.reason or row.failure)
    console.print(table)
    counts = f"{some(document.total, 'page')} = {document.done} done + {document.degraded} degraded + {document.quarantined} quarantined + {document.waiting} waiting"
    console.print(conservation_violation(document, rows) or counts, highlight=False)
