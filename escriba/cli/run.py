"""`escriba run`: the whole pipeline on this machine, from files to outputs and a report."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from escriba.cli import outcome
from escriba.cli.files import Chosen, choose
from escriba.cli.progress import Progress
from escriba.errors import ConfigurationError
from escriba.local.dispatcher import Dispatcher
from escriba.local.pipeline import local_pipeline
from escriba.policy import Policy, load_policy
from lambdas import assemble_document, quarantine, recognise_pages, split_document

HANDLERS = {
    "split_document": split_document.handler,
    "recognise_pages": recognise_pages.handler,
    "assemble_document": assemble_document.handler,
    "quarantine": quarantine.handler,
}
_INTERRUPTED = 130
_PASSWORDS = "passwords-of-this-run"


def run(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders (PDF and pictures).", metavar="PATH...")],
    out: Annotated[Path, typer.Option(help="Where the results go; running again with the same folder resumes.")] = Path("out"),
    languages: Annotated[str, typer.Option(help="ISO 639-2 codes, most likely first, joined by +; the policy's when absent.")] = "",
    policy: Annotated[Path | None, typer.Option(help="A policy file (TOML).")] = None,
    password: Annotated[list[str] | None, typer.Option(help="For encrypted PDFs; repeat it to have several tried.")] = None,
    workers: Annotated[int, typer.Option(help="Handlers side by side, each with a reader process; 0: one a core.", min=0, max=64)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a document instead of the table.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
) -> None:
    """Read documents with the real pipeline on an embedded AWS: no account, no Docker."""
    wishes = _policy(policy, languages)
    if password:
        wishes = wishes.model_copy(update={"password_secret": _PASSWORDS})
    chosen = choose(paths)
    _check_out(out)
    progress = Progress(quiet=json)
    with local_pipeline(out, on_row=progress.on_row) as pipeline:
        pipeline.put_policy(wishes)
        if password:
            pipeline.put_secret(_PASSWORDS, "\n".join(password))
        pipeline.resume()
        jobs = [(path, pipeline.upload(path, wishes)) for path in chosen.files]
        dispatcher = pipeline.dispatcher(HANDLERS, workers=workers or os.cpu_count() or 1)
        with progress, _interruptible(dispatcher) as interrupted:
            dispatcher.run()
        if interrupted.is_set():
            sys.stderr.write("escriba: stopped; nothing is lost, run the same command again to go on\n")
            raise typer.Exit(_INTERRUPTED)
        results = outcome.deliver(pipeline, jobs, out)
        if report:
            outcome.write_report(pipeline, results, out)
    _say(results, chosen, out, json=json, report=report)
    raise typer.Exit(0 if all(result.state == "DONE" for result in results) else 1)


def _policy(path: Path | None, languages: str) -> Policy:
    wishes = load_policy(path) if path is not None else Policy()
    if not languages:
        return wishes
    return wishes.model_copy(update={"languages": tuple(code for code in languages.split("+") if code)})


def _check_out(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".escriba"
        probe.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {out} ({error.strerror}); choose another folder with --out") from None


@contextmanager
def _interruptible(dispatcher: Dispatcher) -> Iterator[threading.Event]:
    """Ctrl-C lets the pages in hand finish; a second one ends the process at once (the journal keeps what is done)."""
    interrupted = threading.Event()

    def interrupt(*_: object) -> None:
        if interrupted.is_set():
            os._exit(_INTERRUPTED)
        interrupted.set()
        sys.stderr.write("\nescriba: finishing the pages in hand (Ctrl-C again to stop at once)\n")
        dispatcher.stop()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _say(results: list[outcome.Result], chosen: Chosen, out: Path, *, json: bool, report: bool) -> None:
    if json:
        outcome.print_json(results)
        return
    outcome.print_table(results)
    for line in chosen.notes:
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"Results: {out}/<name>/document.md, .json, .txt, .pdf; chunks.jsonl\n")
    if report:
        sys.stdout.write(f"Report:  {(out / 'report.html').resolve().as_uri()}\n")
