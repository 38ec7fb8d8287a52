"""`escriba run`: the whole pipeline on this machine, from files to outputs and a report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from escriba.cli import outcome
from escriba.cli.asking import find_backend
from escriba.cli.files import Chosen, choose
from escriba.cli.reading import read_files
from escriba.cli.wording import a_few
from escriba.policy import Policy, load_policy, with_languages


def run(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders (PDF and pictures).", metavar="PATH...")],
    out: Annotated[Path, typer.Option(help="Where the results go; running again with the same folder resumes.")] = Path("out"),
    languages: Annotated[str, typer.Option(help="ISO 639-2 codes, most likely first, joined by +; the policy's when absent.")] = "",
    policy: Annotated[Path | None, typer.Option(help="A policy file (TOML).")] = None,
    password: Annotated[list[str] | None, typer.Option(help="For encrypted PDFs; repeat it to have several tried.")] = None,
    vision: Annotated[str | None, typer.Option(help="Who reads hard pages: `ollama`, or the URL of an OpenAI-compatible endpoint.")] = None,
    model: Annotated[
        str, typer.Option(help="The vision model, as `escriba models list` or the endpoint calls it; without it the one that is there.")
    ] = "",
    vision_key: Annotated[
        str, typer.Option(envvar="ESCRIBA_VISION_KEY", help="The endpoint's key; better left in the environment.", show_default=False)
    ] = "",
    ollama_host: Annotated[str, typer.Option(envvar="OLLAMA_HOST", help="Where Ollama runs, if not here.", show_default=False)] = "",
    workers: Annotated[int, typer.Option(help="Handlers side by side, each with a reader process; 0: one a core.", min=0, max=64)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a document instead of the table.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
) -> None:
    """Read documents with the real pipeline on an embedded AWS: no account, no Docker."""
    wishes = _policy(policy, languages)
    chosen = choose(paths)
    backend = find_backend(vision, model, wishes, key=vision_key, ollama_host=ollama_host)
    results = read_files(
        chosen.files,
        wishes,
        out,
        workers=workers,
        passwords=password or (),
        backend=backend,
        vision_key=vision_key,
        quiet=json,
        report=report,
        command=_command(paths, out, policy, languages, vision or "", model, passwords=bool(password)),
    )
    _say(results, chosen, out, json=json, report=report)
    raise typer.Exit(0 if all(result.state == "DONE" for result in results) else 1)


def _command(paths: list[Path], out: Path, policy: Path | None, languages: str, vision: str, model: str, *, passwords: bool) -> str:
    """What has the same done again, from any folder; passwords and keys are kept nowhere."""
    words = ["escriba", "run", *(str(path.absolute()) for path in paths), "--out", str(out.absolute())]
    words += ["--policy", str(policy.absolute())] if policy is not None else []
    for option, value in (("--languages", languages), ("--vision", vision), ("--model", model)):
        words += [option, value] if value else []
    return shlex.join(words).encode("utf-8", "replace").decode() + " --password ..." * passwords


def _policy(path: Path | None, languages: str) -> Policy:
    wishes = load_policy(path) if path is not None else Policy()
    if not languages:
        return wishes
    return with_languages(wishes, languages)


def _say(results: list[outcome.Result], chosen: Chosen, out: Path, *, json: bool, report: bool) -> None:
    without = [result.path.name for result in results if result.unsearchable]
    unsearchable = f"No searchable PDF could be made of {a_few(without)}; what was read is in the other files.\n" if without else ""
    if json:
        outcome.print_json(results)
        sys.stderr.write(unsearchable)
        return
    outcome.print_table(results)
    for line in chosen.notes:
        sys.stdout.write(line + "\n")
    if any(result.output for result in results):
        pdf = "" if without and all(result.unsearchable for result in results if result.output) else ", .pdf"
        sys.stdout.write(f"Results: {out}/<name>/document.md, .json, .txt{pdf}; chunks.jsonl\n" + unsearchable)
    aside = [
        f"{result.path.name} is in {result.output}"
        for result in results
        if result.output and result.output.name != outcome.stem(result.path.name)
    ]
    if aside:
        sys.stdout.write(f"Folders that hold another reading were left as they are: {a_few(aside)}.\n")
    if report:
        sys.stdout.write(f"Report:  {(out / 'report.html').resolve().as_uri()}\n")
