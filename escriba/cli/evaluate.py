"""`escriba eval`: how well documents with known truths are read, by our engines or by anyone's, and how two readers compare."""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from escriba.errors import ConfigurationError
from escriba.evaluation.split import Half

app = typer.Typer(no_args_is_help=True, help="Score readers against known truths, and compare two of them.")

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the tables.")]


class HalfOption(StrEnum):
    """Which documents are scored."""

    TUNING = "tuning"
    REPORTING = "reporting"
    ALL = "all"


_HALVES: dict[HalfOption, Half | None] = {HalfOption.TUNING: "tuning", HalfOption.REPORTING: "reporting", HalfOption.ALL: None}


@app.command("run")
def run(
    data: Annotated[Path, typer.Option(help="A folder of documents with their truths beside them, subfolders included.")],
    reader: Annotated[
        list[str] | None,
        typer.Option(help="An engine, a policy file (.toml), or a folder of another program's outputs; several are set side by side."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Each reader's outputs and scores.json go to a folder of its name here.")] = Path("out/eval"),
    half: Annotated[HalfOption, typer.Option(help="Documents to tune on, or those to report on.")] = HalfOption.ALL,
    kind: Annotated[str, typer.Option(help="Only kinds (of the manifest) that contain this.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many documents, always the same ones; 0: all.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Handlers side by side, each with a reader process; 0: one a core.", min=0, max=64)] = 0,
    json: _Json = False,
) -> None:
    """Read the documents with each reader, score what it read against the truths, print a table."""
    _need_rapidfuzz()
    from escriba.cli import scoring  # noqa: PLC0415  (what it imports need not be installed to read documents)

    scoring.run(data, reader or [], out, half=_HALVES[half], kind=kind, limit=limit, workers=workers, json=json)


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(help="A reader's folder that escriba eval run has made (OUT/<reader>).", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Another one's.", metavar="B")],
    html: Annotated[Path | None, typer.Option(help="Where the page with both side by side goes.  [default: compare.html beside A]")] = None,
    json: _Json = False,
) -> None:
    """Say who reads better, by how much and how surely; write a page that shows where they differ."""
    _need_rapidfuzz()
    from escriba.cli import comparing  # noqa: PLC0415

    comparing.compare(a, b, html or a.resolve().parent / "compare.html", json=json)


@app.command("guards")
def guards(
    data: Annotated[Path, typer.Option(help="A folder of pictures of pages with their truths beside them, subfolders included.")],
    out: Annotated[Path, typer.Option(help="Readings by CPU OCR and each verdict (guards.json) go here.")] = Path("out/guards"),
    cache: Annotated[Path | None, typer.Option(help="A folder of readings made before, and for new ones.  [default: OUT/readings]")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="A policy file (.toml) to read and judge with.  [default: the default policy]")
    ] = None,
    kind: Annotated[str, typer.Option(help="Only kinds (of the manifest) that contain this.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many documents, always the same ones; 0: all.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Handlers side by side, each with a reader process; 0: one a core.", min=0, max=64)] = 0,
    json: _Json = False,
) -> None:
    """Judge true and adversarial answers of a vision model for real pages; status 1 when the reporting half misses a target."""
    _need_rapidfuzz()
    from escriba.cli import guarding  # noqa: PLC0415

    guarding.guards(data, out, cache, policy, kind=kind, limit=limit, workers=workers, json=json)


@app.command("cascade")
def cascade(
    data: Annotated[Path, typer.Option(help="A folder of single pages with their texts beside them, subfolders included.")],
    out: Annotated[Path, typer.Option(help="What is read is kept here, beside cascade.json, cascade.csv and cascade.svg.")] = Path(
        "out/cascade"
    ),
    policy: Annotated[Path | None, typer.Option(help="A policy file (TOML).")] = None,
    kind: Annotated[str, typer.Option(help="Only kinds (of the manifest) that contain this.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many documents, always the same ones; 0: all.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Handlers side by side, each with a reader process; 0: one a core.", min=0, max=64)] = 0,
    fit: Annotated[
        bool, typer.Option("--fit", help="Print the expected error's coefficients, fitted on the tuning half, and stop.")
    ] = False,
    json: _Json = False,
) -> None:
    """Say what sending pages to a vision model would gain for the pixels sent, in the cascade's order, a random one and the best one."""
    _need_rapidfuzz()
    from escriba.cli import cascading  # noqa: PLC0415

    cascading.run(data, out, policy=policy, kind=kind, limit=limit, workers=workers, fitting=fit, json=json)


def _need_rapidfuzz() -> None:
    if importlib.util.find_spec("rapidfuzz") is None:
        raise ConfigurationError("scoring needs rapidfuzz, which is not installed: run make setup again, or pip install 'escriba[eval]'")
