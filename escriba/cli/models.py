"""`escriba models`: which vision models there are, whether one is fit for production, and a copy of its weights in one's own bucket."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from escriba.aws.clients import client
from escriba.aws.objects import S3ObjectStore
from escriba.errors import ConfigurationError
from escriba.health import Check
from escriba.models import DEFAULT, GPUS, SMALL, VLLM_VERSION, Model, catalogue, model, weights
from escriba.models.mirror import from_hub, pinned, prefix_of, publish
from escriba.policy import Policy

app = typer.Typer(no_args_is_help=True, help="The vision models Escriba knows: list them, check them, copy their weights.")
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
_Name = Annotated[str, typer.Argument(help="A name from escriba models list.", metavar="NAME")]


@app.command("list")
def list_() -> None:
    """One line for each model."""
    notes = {DEFAULT: "default", SMALL: "small"}
    rows = [
        (
            entry.name,
            _where(entry),
            entry.licence,
            entry.precision or "-",
            _gib(entry),
            (entry.gpus() or ("-",))[0],
            entry.ollama or "-",
            notes.get(entry.name, ""),
        )
        for entry in catalogue().values()
    ]
    head = ("name", "runs", "licence", "precision", "GiB", "smallest GPU", "on Ollama", "")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


@app.command("show")
def show(name: _Name) -> None:
    """Everything the registry says of one model, and the command that serves it."""
    entry = model(name)
    lines = [
        ("title", entry.title),
        ("weights", f"{entry.repo} at {entry.revision or 'no pinned revision'}" if entry.repo else "none of its own"),
        ("endpoint", f"{entry.endpoint}, outside the account" if entry.external else ""),
        ("licence", f"{entry.licence}, commercial use {'allowed' if entry.commercial else 'not known to be allowed'}"),
        ("format", f"{entry.format} {entry.precision}, {entry.weights_gib:g} GiB" if entry.repo else ""),
        ("fits", f"{', '.join(entry.gpus())} ({entry.needs_gib():.1f} GiB with four pages at once)" if entry.repo else ""),
        ("ollama", entry.ollama),
        (
            "image",
            f"longer side {entry.rendering.longest_side} pixels, {entry.rendering.patch * entry.rendering.merge} pixels a token's side",
        ),
        (
            "sampling",
            f"temperature {entry.sampling.temperature:g}, top_p {entry.sampling.top_p:g}, at most {entry.max_tokens} tokens of {entry.context}{_bound(entry)}",
        ),
        ("parser", entry.parser),
        ("prompt", entry.prompt.replace("\n", "\n  ") or "none: the image alone"),
        ("version", entry.version),
        ("price", _price(entry)),
        *(("score", f"{score.benchmark} {score.value:g} ({score.source})") for score in entry.scores),
        ("serve", f"vllm serve {' '.join(map(_quoted, entry.serve(entry.repo)))}   (vLLM {VLLM_VERSION})" if entry.repo else ""),
    ]
    sys.stdout.write("".join(f"{label}: {told}\n" for label, told in lines if told))


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="A name from escriba models list; without it all that have weights.", metavar="NAME")] = "",
    folder: Annotated[Path | None, typer.Option(help="A folder with the model's weights, whose headers are read.")] = None,
    gpu: Annotated[str, typer.Option(help=f"The card it is to run on: {', '.join(GPUS)}.", show_default=False)] = "",
) -> None:
    """Say whether a model may go into production, one line a question; ends with 0 when nothing fails."""
    if gpu and gpu.upper() not in GPUS:
        raise ConfigurationError(f"the memory of a {gpu} is not known here; --gpu takes {', '.join(GPUS)}")
    if folder is not None and not name:
        raise ConfigurationError("--folder holds the weights of one model: name it")
    if folder is not None and not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}")
    failed = False
    for entry in [model(name)] if name else [entry for entry in catalogue().values() if entry.repo]:
        for one in _checks(entry, folder, gpu.upper()):
            sys.stdout.write(f"{_MARKS[one.state]}  {entry.name}: {one.name}: {one.told}\n")
            failed |= one.state == "fail"
    raise typer.Exit(int(failed))


@app.command("mirror")
def mirror(
    name: _Name,
    to: Annotated[str, typer.Option(help="Where the copy goes: s3://bucket/prefix.", metavar="S3")],
    folder: Annotated[
        Path | None, typer.Option(help="Where the download lies meanwhile, kept for another try.  [default: a temporary one]")
    ] = None,
) -> None:
    """Copy a model's pinned weights from the hub to a bucket, every file checked by its hash."""
    entry = pinned(model(name))
    bucket, prefix = _place(to)
    with tempfile.TemporaryDirectory(prefix="escriba-models-") as temporary:
        here = folder or Path(temporary)
        manifest = from_hub(entry, here, lambda told: _say(f"fetched {told}"))
        store = S3ObjectStore(client("s3"), bucket)
        new = publish(manifest, here, store, prefix_of(entry, prefix), lambda told: _say(f"copied {told}"))
    _say(f"{entry.name} is {'now' if new else 'already'} in s3://{bucket}/{prefix_of(entry, prefix)}, {len(manifest.files)} files")


def _checks(entry: Model, folder: Path | None, gpu: str) -> Iterator[Check]:
    allowed = "commercial use allowed" if entry.commercial else "commercial use is not known to be allowed; read its terms"
    yield Check("licence", "ok" if entry.commercial else "warn", f"{entry.licence}, {allowed}")
    if not entry.repo:
        told = (
            f"pages leave the account for {entry.endpoint}" if entry.external else "whatever the server has; nothing of it can be checked"
        )
        yield Check("weights", "warn", told)
        return
    try:
        pinned(entry)
        yield Check("revision", "ok", f"{entry.repo} at {entry.revision}")
    except ConfigurationError as error:
        yield Check("revision", "fail", str(error))
    if folder is None:
        yield Check("weights", "warn", "not looked at; name their folder with --folder")
    else:
        try:
            yield Check("weights", "ok", weights.check(folder, entry.precision))
        except ConfigurationError as error:
            yield Check("weights", "fail", str(error))
    if not gpu:
        yield Check("GPU", "ok" if entry.gpus() else "fail", f"fits {', '.join(entry.gpus()) or 'none of the cards known'}")
    else:
        needed, memory = entry.needs_gib(), GPUS[gpu]
        fits = entry.fits(memory)
        told = f"{needed:.1f} GiB with four pages at once, {'of' if fits else 'more than nine tenths of'} {memory:g} on {gpu}"
        yield Check("GPU", "ok" if fits else "fail", told)


def _where(entry: Model) -> str:
    return "outside" if entry.external else "own GPU" if entry.repo else "anywhere"


def _gib(entry: Model) -> str:
    return f"{entry.weights_gib:g}" if entry.repo else "-"


def _price(entry: Model) -> str:
    price = entry.price
    return f"{price.input:g} and {price.output:g} USD a million tokens in and out ({price.dated}: {price.source})" if price else ""


def _bound(entry: Model) -> str:
    """What is asked for in fact, where the policy's own default is less than the model could say."""
    asked = Policy().vision.max_tokens
    return f" (a policy asks for {asked} where its vision.max_tokens says nothing else)" if asked < entry.max_tokens else ""


def _quoted(flag: str) -> str:
    return f"'{flag}'" if " " in flag or "{" in flag else flag


def _place(to: str) -> tuple[str, str]:
    bucket, _, prefix = to.removeprefix("s3://").partition("/")
    if not to.startswith("s3://") or not bucket:
        raise ConfigurationError(f"--to {to} is no place in S3; write it as s3://bucket/prefix")
    return bucket, prefix.strip("/")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # files are large
