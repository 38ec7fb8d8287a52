"""The command line, one file a command."""

from __future__ import annotations

import io
import sqlite3
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from escriba.cli import doctor, evaluate, get, models, put, redrive, run, show, status
from escriba.errors import EscribaError

USAGE_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _version(wanted: bool) -> None:  # noqa: FBT001  (typer's signature)
    if wanted:
        sys.stdout.write(f"escriba {version('escriba')}\n")
        raise typer.Exit


@app.callback()
def escriba(_: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    """Documents in, Markdown, JSON and text out; every page accounted for."""


app.command("run")(run.run)
app.command("show")(show.show)
app.command("put")(put.put)
app.command("status")(status.status)
app.command("redrive")(redrive.redrive)
app.command("get")(get.get)
app.command("doctor")(doctor.doctor)
app.add_typer(evaluate.app, name="eval")
app.add_typer(models.app, name="models")


def main() -> None:
    """The `escriba` command. What a user can cause ends in one sentence, never in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal cannot show must not end the run
    try:
        app()
    except EscribaError as error:
        _end(str(error), USAGE_ERROR)
    except KeyboardInterrupt:
        _end("stopped; nothing is lost, run the same command again to go on", INTERRUPTED)
    except sqlite3.Error as error:
        _end(
            f"the run's own files (.escriba in the folder of --out) cannot be used ({error}); choose another folder with --out", USAGE_ERROR
        )
    except OSError as error:
        _end(f"{error.strerror or error}: {error.filename}" if error.filename else str(error), USAGE_ERROR)


def _end(sentence: str, status: int) -> NoReturn:
    sys.stderr.write(f"escriba: {sentence}\n")
    sys.exit(status)
