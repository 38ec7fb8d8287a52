"""`escriba redrive`: sends again, from the ledger, what failed, once its cause is gone."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from escriba.cli import outcome
from escriba.cli.given import Shortfall, export, shortfall
from escriba.cli.places import Place, Stack, check_is_run, find, place
from escriba.cli.progress import Progress
from escriba.cli.reading import claimed, work
from escriba.cli.wording import a_few, some
from escriba.errors import ConfigurationError
from escriba.local.pipeline import LocalPipeline, local_pipeline
from escriba.stages.redrive import MAX_REDRIVES, Plan, Wanted, plan
from escriba.stages.redrive import redrive as send

_AGO = re.compile(r"(\d+)([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_REASON_WIDTH = 200


def redrive(
    reason: Annotated[str, typer.Option(help="Only what failed for a reason that has these words in it.")] = "",
    document: Annotated[str, typer.Option(help="Only this document: its name, or the beginning of its id.")] = "",
    tenant: Annotated[str, typer.Option(help="Only this tenant's documents.")] = "",
    since: Annotated[str, typer.Option(help="Only what ended since: 2026-11-24, 2026-11-24T14:00, 2h, 3d.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    limit: Annotated[int, typer.Option("--max", help="How much to send at most.", min=1)] = 1000,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: Stack = "",
    out: Annotated[Path, typer.Option(help="The folder of a local run.")] = Path("out"),
) -> None:
    """Send what failed once more: quarantined pages, documents rejected by their surroundings, uploads that were given up."""
    wanted = Wanted(reason, document, tenant, _moment(since, datetime.now(UTC)))
    if stack:
        with place(stack, out) as where:
            _on_stack(wanted, limit, where, dry_run=dry_run, yes=yes)
        return
    check_is_run(out)
    progress = Progress(quiet=dry_run)
    with claimed(out), local_pipeline(out, on_row=progress.on_row) as pipeline:
        _locally(wanted, limit, pipeline, progress, out, dry_run=dry_run, yes=yes)


def _on_stack(wanted: Wanted, limit: int, where: Place, *, dry_run: bool, yes: bool) -> None:
    made = plan(wanted, limit, where.ports)
    _check_known(wanted, made, where)
    if _agreed(made, f"reading it is estimated to cost {made.usd:.4f} USD", dry_run=dry_run, yes=yes):
        sent = send(made, where.ports)
        sys.stdout.write(f"Sent {sent} again{_moved(len(made.again) - sent)}; see escriba status {where.options}\n")


def _locally(wanted: Wanted, limit: int, pipeline: LocalPipeline, progress: Progress, out: Path, *, dry_run: bool, yes: bool) -> None:
    here = Place(str(out), pipeline.ports, folder=out)
    made = plan(wanted, limit, pipeline.ports)
    short = shortfall(out, pipeline.ports)
    made.again = [failed for failed in made.again if failed.document is None or failed.document.document_id not in short.superseded]
    _check_known(wanted, made, here)
    if short.missing and not dry_run:
        _say_written(export(out, short, pipeline.ports))
    elif short.missing:
        sys.stdout.write(f"The results of {some(len(short.missing), 'finished document')} are not in their folders and would be written.\n")
    if short.not_taken:
        sys.stdout.write(f"{_never_taken(short)}\n")
    agreed = _agreed(made, f"here it costs time, on AWS about {made.usd:.4f} USD", dry_run=dry_run, yes=yes)
    if dry_run or (made.again and not agreed):
        return _end(short)
    before = {document.document_id: document for document in pipeline.ports.ledger.documents()}
    unfinished = pipeline.resume()
    if unfinished:
        sys.stdout.write(f"Going on with {some(unfinished, 'document')} that an earlier command left unfinished.\n")
    elif not made.again:
        return _end(short)
    send(made, pipeline.ports)
    with progress:
        work(pipeline, 0)
        progress.phase = "copying the results"
        documents = list(pipeline.ports.ledger.documents())
        results = outcome.refresh(pipeline, [d for d in documents if before.get(d.document_id) != d], out)
        export(out, shortfall(out, pipeline.ports), pipeline.ports)
        if (out / "report.html").is_file():
            progress.phase = "drawing the report"
            outcome.write_report(pipeline, outcome.refresh(pipeline, documents, out), out)
    outcome.print_table(results)
    raise typer.Exit(0 if all(result.state == "DONE" for result in results) and not short.not_taken else 1)


def _end(short: Shortfall) -> None:
    if short.not_taken:
        raise typer.Exit(1)


def _never_taken(short: Shortfall) -> str:
    files = f"{some(len(short.not_taken), 'file')} given to a command that was stopped never came in ({a_few(short.not_taken)})"
    return f"{files}: run that command again; escriba status shows it."


def _say_written(folders: list[Path]) -> None:
    sys.stdout.write(f"Wrote results that were not in their folders: {a_few([str(folder) for folder in folders])}.\n")


def _check_known(wanted: Wanted, made: Plan, where: Place) -> None:
    """Raises `ConfigurationError` for a name that no document has: nothing of it failed, but nothing of it is well either."""
    if wanted.document and not (made.again or made.over or made.capped or made.hopeless):
        find(where, wanted.document)


def _agreed(made: Plan, cost: str, *, dry_run: bool, yes: bool) -> bool:
    """Say what would be sent; whether it shall be."""
    _say(made, cost)
    if dry_run or not made.again:
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError("nothing was sent, as there is no terminal to ask; add --yes to send it, or --dry-run only to look")
    return typer.confirm("Send it again?")


def _say(made: Plan, cost: str) -> None:
    for reason, pages in made.reasons().most_common():
        sys.stdout.write(f"{pages:7}  {reason[:_REASON_WIDTH]}\n")
    if made.again:
        sys.stdout.write(
            f"{some(made.reasons().total(), 'page')} (a document or upload that never came to its pages counts as one); {cost}.\n"
        )
    else:
        sys.stdout.write("Nothing that can be sent again.\n")
    for number, sentence in (
        (made.over, "more are over --max"),
        (made.capped, f"have been sent again {MAX_REDRIVES} times already and are left out; upload the document under another policy"),
        (made.hopeless, "failed by their own bytes and would fail again; escriba status names the reasons"),
    ):
        if number:
            sys.stdout.write(f"{number} {sentence}.\n")


def _moved(number: int) -> str:
    return f", {number} had moved on by themselves" if number else ""


def _moment(text: str, now: datetime) -> float:
    """Seconds since 1970; times without a zone are the machine's own. Raises `ConfigurationError`."""
    if not text:
        return 0.0
    if ago := _AGO.fullmatch(text):
        return (now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp()
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ConfigurationError(f"--since {text!r} is no time; write 2026-11-24, 2026-11-24T14:00, or how long ago: 30m, 2h, 3d") from None
