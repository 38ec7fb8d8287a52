"""`escriba status`: where an upload or a document stands, or, when none is named, the whole."""

from __future__ import annotations

import json as json_
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from escriba.cli.overview import look
from escriba.cli.overview_told import print_overview, print_overview_json
from escriba.cli.places import WANTED, Stack, find, place, without_document
from escriba.cli.wording import some
from escriba.ledger import DELIVERED, FORGOTTEN, DocumentRow, JobRow


def status(
    wanted: Annotated[str, typer.Argument(help=f"{WANTED}; without one, the whole.")] = "",
    stack: Stack = "",
    out: Annotated[Path, typer.Option(help="The folder of a local run.")] = Path("out"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object each instead of a line.")] = False,
) -> None:
    """Say where a document stands: ends with 0 when it was delivered whole, 1 when not (yet), 2 when it is not known.

    Without one: queues, documents, failures, alarms and what to do; ends with 0 when nothing needs you, 1 when something does.
    """
    with place(stack, out) as where:
        if not wanted:
            seen = look(where)
            (print_overview_json if json else print_overview)(seen, where)
            raise typer.Exit(0 if seen.well else 1)
        found = [_told(job, document) for job, document in find(where, wanted)]
    for one in found:
        sys.stdout.write((json_.dumps(one, ensure_ascii=False) if json else _line(one)) + "\n")
    raise typer.Exit(0 if all(one["state"] == "DONE" for one in found) else 1)


def _told(job: JobRow | None, document: DocumentRow | None) -> dict[str, Any]:
    if document is None:
        forgotten = job is not None and job.code == FORGOTTEN
        return {
            "job_id": job.job_id if job else "",
            "name": job.key.rpartition("/")[2] if job else "",
            "state": "RECEIVED" if forgotten else "REJECTED",
            "reason": without_document(job),
        }
    return {
        "job_id": job.job_id if job else document.job_id,
        "document_id": document.document_id,
        "name": document.name,
        "state": document.state,
        "reason": document.reason or document.failure,
        "pages": document.total,
        **{state: getattr(document, state) for state in ("waiting", "done", "degraded", "quarantined")},
        "revision": document.current,
        "output": document.output_prefix if document.state in DELIVERED or document.current else "",
    }


def _line(one: dict[str, Any]) -> str:
    counts = (
        f"{some(one['pages'], 'page')} = " + " + ".join(f"{one[s]} {s}" for s in ("done", "degraded", "quarantined", "waiting"))
        if "pages" in one
        else ""
    )
    return "  ".join(part for part in (one["name"], one.get("document_id", one["job_id"]), one["state"], counts, one["reason"]) if part)
