"""The whole of a place at one moment: documents, pages, queues, uploads, failures, alarms, and what a person should do next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from escriba.cli.alarm_states import AlarmState, LastRun, last_runs, local_alarms, stack_alarms
from escriba.cli.given import Shortfall, at_work, shortfall
from escriba.cli.places import Place
from escriba.cli.wording import some
from escriba.conservation import conservation_violation
from escriba.identity import job_id
from escriba.ledger import FORGOTTEN, DocumentRow
from escriba.moves import has_ended
from escriba.ports import Depth
from escriba.stages.figures import CANARY
from escriba.stages.redrive import Failed, Verdict, Wanted, failures

MOST = 1000
"""Failed documents, and uploads in the inbox, that are looked at in a deployment: its history may be long."""
COMMANDS = ("escriba redrive ", "escriba run ")
"""How a line of advice begins that is a command."""
_LONGEST = 2000  # characters of a command that is shown whole
_STATES = ("waiting", "done", "degraded", "quarantined")
_ADVICE = {
    "again": "once its cause is gone",
    "capped": "it has been sent again as often as is allowed; upload the document under another policy",
    "hopeless": "it would fail again: get another file",
}

_KEPT = "a password, a limit, a language or a time that was too short stays as it is in a redrive: "
_LOCAL_POLICY = _KEPT + "give the password or mend the policy and run the file again with the same --out"
_POLICY = _KEPT + "upload the document again under a mended policy; only where its secret or an engine was mended does a redrive help"
_BOUND = {"encrypted", "over_limit", "engine_missing", "unknown_policy"}


@dataclass(frozen=True)
class QueueState:
    """A queue: what is in it, and the seconds that its oldest message has waited, None where that is not known."""

    name: str
    depth: Depth
    oldest: float | None


@dataclass
class Overview:
    """`documents` counts by state, `pages` by state; `failures` counts pages (documents without pages as one) by reason and verdict.

    `checked` is how many documents' pages were counted again, `violations` a sentence for each that does not add up; `unended` documents
    have neither been delivered nor rejected. `live` says that a command is working in a local run's folder, `short` what it was given and has
    not come to. `partly` says that failures or uploads are too many to have all been looked at; `kept` dead letters name nothing in the ledger.
    """

    local: bool
    documents: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    unended: int = 0
    oldest_unended: float = 0.0
    checked: int = 0
    violations: list[str] = field(default_factory=list)
    failures: Counter[tuple[str, Verdict]] = field(default_factory=Counter)
    queues: list[QueueState] = field(default_factory=list)
    uploads: Counter[str] = field(default_factory=Counter)
    alarms: list[AlarmState] = field(default_factory=list)
    runs: list[LastRun] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    kept: int = 0
    partly: bool = False
    live: bool = False
    short: Shortfall = field(default_factory=Shortfall)

    @property
    def red(self) -> list[AlarmState]:
        return [alarm for alarm in self.alarms if alarm.state == "red"]

    @property
    def well(self) -> bool:
        """Whether nothing needs a person."""
        # A local run's alarms speak of what is over: they turn green by themselves, and what failed is counted here anyway.
        red = self.red and not self.local
        return not (red or self.violations or self.failures or self.uploads["refused"] or self.stopped or self.undelivered)

    @property
    def stopped(self) -> bool:
        """Whether a local command ended before its work did."""
        return self.local and not self.live and bool(self.unended or self.short.not_taken)

    @property
    def undelivered(self) -> bool:
        """Whether results of a local run are not in their folders, with no command on its way to put them there."""
        return not self.live and bool(self.short.missing)


def look(where: Place) -> Overview:
    """Look at everything; changes nothing."""
    now = where.ports.clock.now().timestamp()
    seen = Overview(local=where.folder is not None)
    if where.folder is not None:
        seen.live, seen.short = at_work(where.folder), shortfall(where.folder, where.ports)
    documents = list(_documents(where))
    seen.partly = not seen.local and len(documents) >= MOST
    for document in documents:
        _take_in(document, where, now, seen)
    for failed in islice(failures(Wanted(), where.ports), MOST if not seen.local else None):
        if failed.document is not None and failed.document.document_id in seen.short.superseded:
            continue
        seen.failures[failed.reason, failed.verdict] += max(1, failed.pages)
        if _bound(failed):
            seen.bound.add(failed.reason)
    seen.kept = sum(1 for _ in where.ledger.dead_letters())
    if where.folder is not None:
        seen.alarms = local_alarms(where.folder, now)
        return seen
    seen.queues = [QueueState(name, queue.depth(), queue.oldest()) for name, queue in where.ports.queues.items()]
    _uploads(where, seen)
    seen.alarms, seen.runs = stack_alarms(where.stage), last_runs(where.stage)
    return seen


def _documents(where: Place) -> Iterator[DocumentRow]:
    """All of a local run; of a deployment those under way and those that failed, for the others are history."""
    if where.folder is not None:
        return where.ledger.documents()
    under_way = (document for document in where.ports.recovery.in_flight() if document.tenant != CANARY)
    return chain(under_way, islice(where.ports.recovery.failed(), MOST))


def _take_in(document: DocumentRow, where: Place, now: float, seen: Overview) -> None:
    seen.documents[document.state] += 1
    for state in _STATES:
        seen.pages[state] += getattr(document, state)
    if not has_ended(document):
        seen.unended += 1
        seen.oldest_unended = max(seen.oldest_unended, now - max(document.received_at, document.sent_at))
    violation = conservation_violation(document, list(where.ledger.pages(document.document_id)))
    if violation and where.ledger.document(document.document_id) == document:
        # Rows read while it moves prove nothing.
        seen.violations.append(f"{document.name} ({document.document_id}): {violation}")
    seen.checked += 1


def _uploads(where: Place, seen: Overview) -> None:
    for upload in islice(where.inbox.versions("inbox/"), MOST):
        job = where.ledger.job(job_id(where.inbox_bucket, upload.key, upload.version))
        # One with a document has been taken in and is about to leave the inbox.
        if job is None or job.code == FORGOTTEN:
            seen.uploads["not taken in yet"] += 1
        elif not job.document_id:
            seen.uploads["refused"] += 1
    seen.partly |= seen.uploads.total() >= MOST


def _bound(failed: Failed) -> bool:
    """Whether the policy that the ledger keeps with the document is what made it fail."""
    if failed.row is not None:
        return failed.row.code in _BOUND or "did not answer within" in failed.reason
    return failed.document is not None and failed.document.code in _BOUND


def advice(seen: Overview, where: Place) -> list[str]:
    """What to do next, most urgent first, a sentence or a command each; empty when there is nothing."""
    told = []
    if seen.violations:
        told.append("pages do not add up, which is a defect of Escriba's: keep the ledger's rows of these documents for a bug report")
    if not seen.local:
        # What they advise is for a deployment; in a local run the failures themselves say enough.
        told += [f"{state.name}: {state.alarm.todo}" for state in seen.red if state.alarm is not None]
    told += _on_a_local_run(seen, where)
    again = [reason for (reason, verdict), _ in seen.failures.most_common() if verdict == "again" and reason not in seen.bound]
    if seen.bound:
        told.append(_LOCAL_POLICY if seen.local else _POLICY)
    if again:
        told += [f"what failed can be sent again {_ADVICE['again']}:", _command(where, again)]
    verdicts = {verdict for _, verdict in seen.failures}
    told += [f"what is marked {verdict}: {_ADVICE[verdict]}" for verdict in ("capped", "hopeless") if verdict in verdicts]
    if seen.kept:
        told.append(f"{seen.kept} dead letters name nothing in the ledger: look at them in its table, partition DEAD-LETTERS")
    if seen.uploads["refused"]:
        told.append("uploads that were refused stay in the inbox: escriba status s3://... says why of each")
    return told


def _on_a_local_run(seen: Overview, where: Place) -> list[str]:
    told = []
    if seen.live:
        told.append("a command is at work in this folder: wait for its end, then look again")
    if seen.stopped:
        again = seen.short.command
        shown = bool(again) and len(again) <= _LONGEST
        told.append(f"a command was stopped: the same command again goes on where it was{':' * shown}")
        told += [again] * shown
    if seen.undelivered:
        told += [f"results of {some(len(seen.short.missing), 'finished document')} are not in their folders; to have them written:"]
        told += [f"escriba redrive {where.options}"]
    return told


def _command(where: Place, reasons: list[str]) -> str:
    reason = f" --reason {shlex.quote(reasons[0])}" if len(reasons) == 1 else ""
    return f"escriba redrive {where.options}{reason} --dry-run"
