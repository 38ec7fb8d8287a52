"""Describes the alarms for whoever is woken by one; `make docs` writes it between two marks of docs/operations.md."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from escriba import marked
from escriba.alarms import ALARMS, Alarm

BEGIN, END = "<!-- made by make docs from escriba/alarms -->", "<!-- end of what make docs makes -->"
_HEAD = "| alarm | what it says | likely causes | what to do | proven by |\n|---|---|---|---|---|\n"


def described() -> str:
    """Two tables in Markdown: those that wake somebody, and those that inform."""
    woken = [alarm for alarm in ALARMS if alarm.pages]
    told = [alarm for alarm in ALARMS if not alarm.pages]
    return (
        f"{len(woken)} alarms wake somebody, together as `pipeline-stopped`:\n\n{_table(woken)}\n"
        f"{len(told)} inform: something costs pages, money or quality while documents still come through.\n\n{_table(told)}"
    )


def _table(alarms: Sequence[Alarm]) -> str:
    return _HEAD + "".join(
        f"| `{alarm.name}` | {alarm.meaning} ({_when(alarm)}) | {alarm.causes} | {alarm.todo} | {', '.join(alarm.faults)} |\n"
        for alarm in alarms
    )


def _when(alarm: Alarm) -> str:
    sign, unit = "<" if alarm.below else ">", f" {alarm.unit}" if alarm.unit else ""
    window = f"{alarm.window / 60:.0f} min"
    return f"{sign} {alarm.threshold:g}{unit} in {window}" + (", or no data" if alarm.missing == "breaching" else "")


def rewritten(page: str) -> str:
    """The page with its description made anew. Raises ValueError when it has no marks."""
    return marked.rewritten(page, BEGIN, END, described())


def main() -> None:
    """Rewrite the page named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
