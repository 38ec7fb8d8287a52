"""The command line, one file a command."""

from __future__ import annotations

import sys

import typer

from escriba.cli import run, show
from escriba.errors import EscribaError

USAGE_ERROR = 2

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def escriba() -> None:
    """Documents in, Markdown, JSON and text out; every page accounted for."""


app.command("run")(run.run)
app.command("show")(show.show)


def main() -> None:
    """The `escriba` command. What a user can cause ends in one sentence, never in a traceback."""
    try:
        app()
    except EscribaError as error:
        sys.stderr.write(f"escriba: {error}\n")
        sys.exit(USAGE_ERROR)
