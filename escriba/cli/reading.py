"""Reads files with the whole pipeline into a folder: what `escriba run` and `escriba eval run` share."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from escriba.backends import Backend
from escriba.cli import given, outcome
from escriba.cli.progress import Progress
from escriba.errors import ConfigurationError
from escriba.local.dispatcher import Dispatcher
from escriba.local.pipeline import STATE_DIRECTORY, LocalPipeline, local_pipeline
from escriba.policy import Policy
from escriba.stages.reconcile import reconcile as reconcile_stage
from lambdas import assemble_document, canary, quarantine, read_with_api, recognise_pages, reconcile, split_document

HANDLERS = {
    "split_document": split_document.handler,
    "recognise_pages": recognise_pages.handler,
    "read_with_api": read_with_api.handler,
    "assemble_document": assemble_document.handler,
    "quarantine": quarantine.handler,
    "reconcile": reconcile.handler,
    "canary": canary.handler,
}
_INTERRUPTED = 130
_PASSWORDS = "passwords-of-this-run"


def read_files(
    files: Sequence[Path],
    wishes: Policy,
    out: Path,
    *,
    workers: int = 0,
    passwords: Sequence[str] = (),
    backend: Backend | None = None,
    vision_key: str = "",
    quiet: bool = False,
    report: bool = False,
    command: str = "",
) -> list[outcome.Result]:
    """Read files to `out/<name>/` and say how each ended; what an earlier call has read there is not read again.

    `workers` 0 is one a core; `backend` reads hard pages, with `vision_key` where it wants one; `quiet` shows no progress; `command` is what a person
    would type to have it done again. Ctrl-C ends the command with 130 after the pages in hand.
    Raises `ConfigurationError` when `out` cannot be written to.
    """
    if passwords:
        wishes = wishes.model_copy(update={"password_secret": _PASSWORDS})
    progress = Progress(quiet=quiet)
    backends = () if backend is None else (backend,)
    with claimed(out), local_pipeline(out, backends=backends, on_row=progress.on_row) as pipeline:
        given.remember(out, files, command)
        pipeline.put_policy(wishes)
        if passwords:
            pipeline.put_secret(_PASSWORDS, "\n".join(passwords))
        if backend is not None and backend.key_secret:
            pipeline.put_secret(backend.key_secret, vision_key)
        pipeline.resume()
        jobs = [(path, pipeline.upload(path, wishes)) for path in files]
        given.note_jobs(out, jobs)
        with progress:
            work(pipeline, workers)
            progress.phase = "copying the results"
            results = outcome.deliver(pipeline, jobs, out)
            if report:
                progress.phase = "drawing the report"
                outcome.write_report(pipeline, results, out)
    return results


def work(pipeline: LocalPipeline, workers: int) -> None:
    """Work until every queue is empty, then reconcile, which looks whether every page is accounted for. Ctrl-C ends the command with 130."""
    dispatcher = pipeline.dispatcher(HANDLERS, workers=workers or os.cpu_count() or 1)
    with _interruptible(dispatcher) as interrupted:
        dispatcher.run()
    if interrupted.is_set():
        sys.stderr.write("escriba: stopped; nothing is lost, run the same command again to go on\n")
        raise typer.Exit(_INTERRUPTED)
    found = reconcile_stage(pipeline.ports)
    pipeline.ports.meter.flush()
    if found.violations:
        sys.stderr.write(
            f"escriba: the pages of {found.violations} documents do not add up, which is a defect of Escriba's; "
            "escriba status names them, keep the folder for a bug report\n"
        )


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """The folder is this process's alone: two runs would each write a ledger that knows nothing of the other's."""
    try:
        (out / STATE_DIRECTORY).mkdir(parents=True, exist_ok=True)
        lock = (out / STATE_DIRECTORY / "lock").open("w")
    except OSError as error:
        raise ConfigurationError(f"cannot write to {out} ({error.strerror}); choose another folder with --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another run is writing to {out}; wait for its end, or choose another folder with --out") from None
        yield


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
