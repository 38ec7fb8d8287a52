"""Says an overview on a terminal of 80 columns or as one JSON object."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from escriba.alarms import ALARMS
from escriba.cli.alarm_states import LOCAL, AlarmState
from escriba.cli.overview import COMMANDS, Overview, QueueState, advice
from escriba.cli.places import Place
from escriba.cli.wording import a_few, some

_NARROWEST, _WIDEST, _LABEL = 60, 100, 11
_MOST_REASONS = 10
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def print_overview(seen: Overview, where: Place) -> None:
    """Sections of lines, each behind its label."""
    _say("place", f"{where.name}, {'a local run' if seen.local else f'stage {where.stage}'}")
    scope = "" if seen.local else "  (under way or failed; those that ended well are history)"
    if seen.short.given:
        _say("given", *_given(seen))
    _say("documents", (_counts(seen.documents) or "none") + scope)
    if seen.unended:
        _say("", f"{seen.unended} not ended, the oldest under way for {duration(seen.oldest_unended)}")
    pages = seen.pages
    _say("pages", f"{pages.total()} = " + " + ".join(f"{pages[state]} {state}" for state in ("done", "degraded", "quarantined", "waiting")))
    for violation in seen.violations:
        _say("", f"NOT CONSERVED: {violation}")
    if not seen.violations:
        _say("", f"conserved: counted again for {some(seen.checked, 'document')}")
    _say_failures(seen)
    _say_movement(seen)
    _say_alarms(seen)
    _say("to do", *(advice(seen, where) or ["nothing"]))


def _given(seen: Overview) -> list[str]:
    short = seen.short
    lines = [some(short.given, "file") + ("" if short.not_taken or short.missing else ", all taken in")]
    if short.not_taken:
        lines.append(f"{len(short.not_taken)} not taken in{' yet' * seen.live}: {a_few(short.not_taken)}")
    if short.missing:
        lines.append(f"finished, and not in their folders{' yet' * seen.live}: {a_few([name for name, _ in short.missing])}")
    if short.superseded:
        lines.append(f"{some(len(short.superseded), 'older reading')} replaced since: other bytes, or another policy")
    return lines


def _say_failures(seen: Overview) -> None:
    by_reason = seen.failures.most_common()
    lines = [f"{some(pages, 'page')}: {reason}{'' if verdict == 'again' else f' [{verdict}]'}" for (reason, verdict), pages in by_reason]
    if len(lines) > _MOST_REASONS:
        lines[_MOST_REASONS:] = [f"and {len(lines) - _MOST_REASONS} more reasons"]
    if seen.partly:
        lines.append("there are more than have been looked at here")
    _say("failed", *(lines or ["nothing"]))


def _say_movement(seen: Overview) -> None:
    if seen.local:
        _say("queues", "live only while a command runs; canary and reconciler's schedule: only in a deployment")
        return
    _say("queues", *map(_queue, seen.queues))
    _say("inbox", _counts(seen.uploads) or "empty")
    for run in seen.runs:
        wrong = f", {run.failures} of its documents came back wrong" if run.failures else ""
        _say(run.name, f"last ran {moment(run.at)}{wrong}" if run.at else "has not run within three hours")


def _say_alarms(seen: Overview) -> None:
    states = Counter(alarm.state for alarm in seen.alarms)
    if not seen.alarms:
        _say("alarms", "none are deployed (make deploy)")
        return
    lines = [f"{states['red']} red, {states['green']} green" + (f", {states['unknown']} not known yet" if states["unknown"] else "")]
    lines += [
        _alarm(alarm) for alarm in sorted(seen.alarms, key=lambda alarm: alarm.state != "red") if alarm.state == "red" or alarm.last_red
    ]
    if seen.local:
        lines.append(f"{len(ALARMS) - len(LOCAL)} others look at what AWS measures or what runs on a schedule: only in a deployment")
    _say("alarms", *lines)


def _alarm(state: AlarmState) -> str:
    when = f" since {moment(state.since)}" if state.state == "red" else f", was red at {moment(state.last_red)}"
    return f"{state.state.upper() if state.state == 'red' else state.state} {state.name}{when}: {state.alarm.meaning if state.alarm else 'see CloudWatch'}"


def _queue(queue: QueueState) -> str:
    age = "" if not queue.depth.total else f", the oldest {'of unknown age' if queue.oldest is None else duration(queue.oldest)}"
    return f"{queue.name:13}{queue.depth.visible:6} waiting {queue.depth.in_flight:5} in hand {queue.depth.delayed:5} delayed{age}"


def _counts(counts: Counter[str]) -> str:
    return "  ".join(f"{number} {name}" for name, number in sorted(counts.items(), key=lambda count: (-count[1], count[0])) if number)


def _say(label: str, *lines: str) -> None:
    width = min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size().columns))
    for number, line in enumerate(lines):
        head = (label if not number else "").ljust(_LABEL)
        if line.startswith(COMMANDS):
            sys.stdout.write(f"{head}  {line}\n")  # in one piece, to be copied
            continue
        sys.stdout.write(
            textwrap.fill(line, width, initial_indent=head, subsequent_indent=" " * (_LABEL + 2), break_on_hyphens=False) + "\n"
        )


def duration(seconds: float) -> str:
    """In the unit that a person would use."""
    for size, unit in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def moment(at: float) -> str:
    """A time of day of this machine's, with the date unless that is today."""
    local = datetime.fromtimestamp(at, UTC).astimezone()
    return f"{local:%H:%M}" if local.date() == datetime.now(UTC).astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def print_overview_json(seen: Overview, where: Place) -> None:
    """The same as one object."""
    told: dict[str, Any] = {
        "place": where.name,
        "documents": dict(seen.documents),
        "pages": {"total": seen.pages.total(), **seen.pages},
        "unended": seen.unended,
        "at_work": seen.live,
        "given": seen.short.given,
        "not_taken_in": seen.short.not_taken,
        "not_in_their_folders": [name for name, _ in seen.short.missing],
        "checked": seen.checked,
        "violations": seen.violations,
        "failed": [{"reason": reason, "verdict": verdict, "pages": pages} for (reason, verdict), pages in seen.failures.most_common()],
        "queues": {
            queue.name: {
                "visible": queue.depth.visible,
                "in_flight": queue.depth.in_flight,
                "delayed": queue.depth.delayed,
                "oldest": queue.oldest,
            }
            for queue in seen.queues
        },
        "inbox": dict(seen.uploads),
        "dead_letters_kept": seen.kept,
        "alarms": {alarm.name: alarm.state for alarm in seen.alarms},
        "last_runs": {run.name: {"at": run.at, "failures": run.failures} for run in seen.runs},
        "to_do": advice(seen, where),
        "well": seen.well,
    }
    sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
