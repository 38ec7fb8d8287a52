"""`make fuzz`: damaged files through the real reader and the real stages, until the time is up; nothing may escape `escriba/errors.py`.

Case n of seed s is always the same file. A file that finds a fault is written out, and named with the seed and the case.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from escriba.document import Block, BoundingBox, Line, Word
from escriba.errors import EscribaError, PermanentError, RetryableError
from escriba.identity import policy_key
from escriba.isolation import IsolatedReader
from escriba.local.in_memory import InMemoryPipeline
from escriba.memory.clock import ManualClock
from escriba.memory.meter import MemoryMeter
from escriba.memory.secrets import MemorySecrets
from escriba.policy import Limits, Ocr, Policy, Vision
from escriba.ports import Reader, Reading
from escriba.topology import PAGES_PER_SPLIT
from tests.faults.harness import assert_conserved, run
from tests.fuzz.mutations import damaged
from tests.fuzz.seeds import SECRET, seeds

POLICY = Policy(
    vision=Vision(enabled=False),  # its engine only glances: every page would be hard
    ocr=Ocr(engine="glance"),
    limits=Limits(page_seconds=10, max_pages=200),
    password_secret="fuzz",  # noqa: S106  (its name)
)
_CALL_SECONDS = 30.0  # the longest limit of a call of ours, and time for a new child to start
_SLOW_SECONDS = 5.0
_CUTS = 3  # pages of one file that are cut out and looked at
_INTERNAL = re.compile(
    r"\w+(Error|Exception|Warning)\b|Traceback|failed inside|internal error|[<>\\]|0x[0-9a-f]|(^|\s)/\w|\b(mupdf|pymupdf|fz_|pillow|PIL|numpy)",
    re.IGNORECASE,
)


class Glance:
    """An engine that draws the page, as any engine must, and reads one word."""

    name, version = "glance", "1"

    def read(self, pages: Sequence[Any], policy: Policy) -> list[Reading]:
        return [Reading(self._read(page)) for page in pages]

    @staticmethod
    def _read(page: Any) -> tuple[Block, ...]:
        assert page.image(72).ndim == 3
        box = BoundingBox(1, 1, max(2.0, page.width - 1), 12)
        return (Block(kind="paragraph", box=box, lines=(Line(box, (Word("seen", box, 0.9),)),), font_size=10),)


@dataclass
class Report:
    """What a campaign came to: `ends` counts kinds of ends, `faults` are sentences that name a file."""

    seed: int
    cases: int = 0
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.cases / max(self.seconds, 0.001)
        lines = [f"seed {self.seed}: {self.cases} cases in {self.seconds:.0f} s ({rate:.1f} a second), {len(self.faults)} faults"]
        return "\n".join(lines + [f"{count:8}  {end}" for end, count in self.ends.most_common()] + self.faults)


def made(seed: int, case: int) -> tuple[str, bytes]:
    """The file of a case, and its name: the seed file and what was done to it."""
    chance = random.Random(f"{seed}:{case}")
    name = chance.choice(sorted(seeds()))
    data, mutations = damaged(seeds()[name], chance, seeds())
    return f"{name}+{'+'.join(mutations)}", data


def complaint(sentence: str) -> str:
    """What is wrong with a sentence that a user is to see, "" when nothing is."""
    if not sentence.strip() or len(sentence) > 300:
        return "is empty or too long"
    if not sentence.isprintable():
        return "is not one line"
    if SECRET in sentence:
        return "quotes the document"
    return "shows what is inside" if _INTERNAL.search(sentence) else ""


class Trial:
    """Judges one file after the other through one reader; `ends` of each are counted in the report."""

    def __init__(self, reader: Reader, scratch: Path, report: Report) -> None:
        self._reader, self._scratch, self._report = reader, scratch, report

    def judge(self, data: bytes) -> list[str]:
        """Every fault of one file, as sentences; none when all is well."""
        return self._ask_reader(data) + self._run_pipeline(data)

    def _ask_reader(self, data: bytes) -> list[str]:
        """The calls of the split stage and of the report, each alone."""
        # A name of its own for each: the child knows an open file again by name, size and time.
        path = self._scratch / f"{self._report.cases}.file"
        path.write_bytes(data)
        faults: list[str] = []

        def call(name: str, work: Callable[[], Any]) -> Any:
            began, answer, error = time.monotonic(), None, None
            try:
                answer = work()
            except Exception as raised:  # noqa: BLE001  (what is not ours is what we look for)
                error = raised
            end, fault = self._end(error)
            self._report.ends[f"{name}: {end}"] += 1
            if fault:
                faults.append(f"{name} {fault}")
            if time.monotonic() - began > _CALL_SECONDS:
                faults.append(f"{name} took {time.monotonic() - began:.0f} s")
            return answer

        copy = call("prepare", lambda: self._reader.prepare(path, POLICY, ("wrong", SECRET)))
        path = copy or path
        seen = call("inspect", lambda: self._reader.inspect(path, POLICY, 1, PAGES_PER_SPLIT))
        for page in seen.features[:_CUTS] if seen else ():
            call("cut", lambda: self._reader.cut(path, POLICY, page.number))  # noqa: B023  (called at once)
            call("picture", lambda: self._reader.picture(path, POLICY, page.number, 200))  # noqa: B023
        for file in self._scratch.glob("*.*"):
            file.unlink()
        return faults

    @staticmethod
    def _end(error: Exception | None) -> tuple[str, str]:
        """The kind of an end, and what is wrong with it."""
        if error is None:
            return "answered", ""
        if not isinstance(error, PermanentError | RetryableError):
            return type(error).__name__, f"raised {type(error).__name__}: {error}"
        wrong = complaint(str(error))
        return type(error).__name__, f"says {str(error)!r}, which {wrong}" if wrong else ""

    def _run_pipeline(self, data: bytes) -> list[str]:
        """The whole pipeline on the in-memory ports, where only the clock and the engine are ours."""
        scratch = self._scratch / "pipeline"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        pipeline = InMemoryPipeline(reader=self._reader, scratch=scratch, clock=ManualClock(), secrets=MemorySecrets({"fuzz": SECRET}))
        pipeline.ports.results.put(policy_key(POLICY.name), POLICY.model_dump_json().encode())
        job = pipeline.upload("damaged", data)
        try:
            run(pipeline)
            assert_conserved(pipeline)
            row, document = pipeline.result(job)
        except (AssertionError, EscribaError) as error:
            return [f"the document did not end: {error!r}"]
        except Exception as error:  # noqa: BLE001  (what is not ours is what we look for)
            return [f"the pipeline raised {type(error).__name__}: {error}"]
        said = [row.reason] if document is None or document.state == "REJECTED" else []
        state = "REJECTED at the door" if document is None else document.state
        if document is not None:
            said = [document.reason] if document.state == "REJECTED" else []
            said += [page.reason for page in pipeline.ports.ledger.pages(document.document_id) if page.state in {"DEGRADED", "QUARANTINED"}]
        for sentence in {re.sub(r"\d[\d,.]*", "N", sentence) for sentence in said} or {""}:
            self._report.ends[f"document: {state} {sentence}".strip()] += 1
        assert isinstance(pipeline.ports.meter, MemoryMeter)
        # What is only logged (no searchable PDF, say) is read by a person too.
        said += [str(fields["reason"]) for _, _, fields in pipeline.ports.meter.events if fields.get("reason")]
        faults = [f"the document's reason {sentence!r} {complaint(sentence)}" for sentence in said if complaint(sentence)]
        return faults + [f"a log line quotes the document: {event}" for event in pipeline.ports.meter.events if SECRET in str(event)]


def campaign(seed: int, seconds: float, out: Path, *, first: int = 1, cases: int = sys.maxsize) -> Report:
    """Try cases from `first` on until `seconds` are over; files that find a fault are written into `out`."""
    report, began = Report(seed), time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="escriba-fuzz-") as scratch,
        closing(IsolatedReader(extra_engines={"glance": "tests.fuzz.campaign:Glance"})) as reader,
    ):
        trial = Trial(reader, Path(scratch), report)
        for case in range(first, first + cases):
            if time.monotonic() - began > seconds:
                break
            name, data = made(seed, case)
            started = time.monotonic()
            faults = trial.judge(data)
            report.cases += 1
            if faults:
                out.mkdir(parents=True, exist_ok=True)
                file = out / f"seed-{seed}-case-{case}"
                file.write_bytes(data)
                report.faults += [f"case {case} ({name}): {fault}; its bytes are in {file}" for fault in faults]
                print("\n".join(report.faults[-len(faults) :]), flush=True)
            if time.monotonic() - started > _SLOW_SECONDS:
                report.ends[f"file: more than {_SLOW_SECONDS:g} s"] += 1
        report.seconds = time.monotonic() - began
    return report


def main() -> int:
    """Run as the arguments say; 1 when a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="else one drawn by chance, which is printed")
    parser.add_argument("--case", type=int, default=None, help="only this one")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    one = {"first": asked.case, "cases": 1} if asked.case is not None else {}
    report = campaign(seed, asked.seconds, asked.out, **one)
    print(report)
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
