"""`make second-opinion`: one corpus read on moto by our dispatcher and on MiniStack by SQS mappings that invoke the functions; both must agree.

What it writes (both sides' results, MiniStack's log) lies in out/second-opinion.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from rich import box
from rich.console import Console
from rich.table import Table

from escriba.cli import outcome
from escriba.cli.reading import HANDLERS
from escriba.identity import job_id, upload_key
from escriba.ledger import FINISHED
from escriba.local.embedded_aws import provision
from escriba.local.pipeline import TENANT, LocalPipeline, local_pipeline
from escriba.messages import SOURCE, DocumentCompleted, decode
from escriba.topology import TOPOLOGY, Topology
from lambdas.entry import release_worker, worker_ports
from tests.documents import install_obedient
from tests.ministack.corpus import OBEDIENT, POLICY, STRAY, Upload, make_corpus
from tests.ministack.deployment import deploy, lead
from tests.ministack.semantics import differences
from tests.ministack.server import ROOT, ministack

OUT = ROOT / "out" / "second-opinion"
LIMIT = 900.0
"""Seconds that a side may take for the corpus."""
ATTEMPT = 45
"""Seconds of a function's timeout and of a queue's visibility here: three attempts in minutes, not in the deployment's half hour."""
VARIES = {"usage.json"}
"""The output that tells of time and attempts."""
_LISTENER = "completed"


@dataclass(frozen=True)
class Side:
    """What one side came to: results in the corpus's order, dead letters, announcements, seconds, and what was noticed by the way."""

    results: list[outcome.Result]
    letters: set[tuple[str, str, str]]
    announced: set[tuple[Any, ...]]
    seconds: float
    notes: list[str]


def main() -> int:
    """Print the table and the list; 1 when anything that must be the same is not."""
    shutil.rmtree(OUT, ignore_errors=True)
    corpus = make_corpus(OUT / "corpus")
    engines = OUT / "engines"
    engines.mkdir()
    install_obedient(engines)
    print(f"{len(corpus)} documents on moto, by our dispatcher ...")
    moto = on_moto(corpus, OUT / "moto")
    print(f"{moto.seconds:.0f} s; the same on MiniStack, by its event source mappings ...")
    with ministack(OUT / "ministack"):
        other = on_ministack(corpus, OUT / "ministack", engines)
        print(f"{other.seconds:.0f} s; its own semantics, one by one ...")
        notes = other.notes + differences(OUT / "ministack")
        print("the contract suites of the adapters on it, instead of moto ...")
        contracts = contract_suites()
    wrong = compare(corpus, moto, other)
    print(f"contract suites: {contracts.splitlines()[-1]}")
    if failed := [line for line in contracts.splitlines() if line.startswith(("FAILED", "ERROR"))]:
        wrong = True
        print("\n".join(failed))
    print("\nMiniStack does otherwise than AWS documents (each seen in a real call):")
    for note in notes or ["nothing that was asked"]:
        print(f"* {note}")
    return int(wrong)


def small(topology: Topology) -> Topology:
    """The same shape, attempts of `ATTEMPT` seconds."""
    queues = tuple(replace(q, visibility=ATTEMPT) for q in topology.queues)
    return Topology(queues, tuple(replace(f, timeout=ATTEMPT) for f in topology.functions))


def on_moto(corpus: list[Upload], out: Path) -> Side:
    """The corpus through `escriba run`'s own parts."""
    out.mkdir(parents=True)
    began = time.monotonic()
    with local_pipeline(out, topology=small(TOPOLOGY)) as pipeline:
        prepare(pipeline)
        jobs = [(upload.path, pipeline.upload(upload.path, upload.policy)) for upload in corpus]
        pipeline.ports.queues["intake"].send([STRAY])
        dispatcher = pipeline.dispatcher(HANDLERS, workers=2)
        with limited(dispatcher.stop):
            dispatcher.run()
        return taken(pipeline, jobs, out, began, [])


def on_ministack(corpus: list[Upload], out: Path, engines: Path) -> Side:
    """The corpus through a deployment in MiniStack, uploads told of by S3 and EventBridge."""
    topology = small(TOPOLOGY)
    settings = provision(topology).model_copy(update={"upgrade_window": 1})
    os.environ.update(settings.to_env())
    try:
        pipeline = LocalPipeline(settings, topology, worker_ports())
        prepare(pipeline)
        deploy(topology, settings, engines)
        began = time.monotonic()
        uploads = []
        for upload in corpus:
            key = upload_key(TENANT, upload.policy.name, upload.path.name)
            uploads.append((upload.path, key, pipeline.ports.inbox.upload(upload.path, key)))
        pipeline.ports.queues["intake"].send([STRAY])
        jobs, notes = wait(pipeline, uploads, began + LIMIT)
        return taken(pipeline, jobs, out, began, notes)
    finally:
        release_worker()
        for name in settings.to_env():
            os.environ.pop(name, None)


def prepare(pipeline: LocalPipeline) -> None:
    """Policies, and somebody who listens to the bus."""
    for policy in (POLICY, OBEDIENT):
        pipeline.put_policy(policy)
    boto3.client("sqs").create_queue(QueueName=_LISTENER)
    lead({"source": [SOURCE]}, _LISTENER, bus=pipeline.settings.event_bus)


def wait(pipeline: LocalPipeline, uploads: list[tuple[Path, str, str]], deadline: float) -> tuple[list[tuple[Path, str]], list[str]]:
    """Until every upload has ended, the stray message is kept and the queues are empty; the jobs, and what was noticed."""
    bucket = pipeline.settings.inbox_bucket
    while time.monotonic() < deadline:
        jobs, nameless = [], 0
        for path, key, version in uploads:
            # An event that does not name the version makes another job of the same upload.
            told, untold = job_id(bucket, key, version), job_id(bucket, key, "")
            nameless += pipeline.ports.ledger.job(untold) is not None
            jobs.append((path, untold if pipeline.ports.ledger.job(untold) is not None else told))
        if (
            all(ended(pipeline, identity) for _, identity in jobs)
            and any(True for _ in pipeline.ports.ledger.dead_letters())
            and not any(queue.depth().total for queue in pipeline.ports.queues.values())
        ):
            break
        time.sleep(1)
    else:
        print(f"gave up after {LIMIT:g} s; what has not ended stands below as it is")
    notes = [f"S3's events to EventBridge name no version ({nameless} of {len(uploads)} uploads to a versioned bucket)"] * bool(nameless)
    return jobs, notes


def ended(pipeline: LocalPipeline, identity: str) -> bool:
    """Whether a job's document has come to its end, current outputs and all."""
    job, document = pipeline.job(identity)
    if document is None:
        return job is not None and bool(job.code)
    return document.state in FINISHED and (document.state == "REJECTED" or document.current == document.revision)


def taken(pipeline: LocalPipeline, jobs: list[tuple[Path, str]], out: Path, began: float, notes: list[str]) -> Side:
    """What a side has come to, read from its ledger, its results bucket and its bus."""
    seconds = time.monotonic() - began
    results = outcome.deliver(pipeline, jobs, out / "results")
    letters = {(letter.queue, letter.reason, letter.body) for letter in pipeline.ports.ledger.dead_letters()}
    return Side(results, letters, set(announcements()), seconds, notes)


def announcements() -> Iterator[tuple[Any, ...]]:
    """What the bus said of each document; said twice it counts once."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=_LISTENER)["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
        for message in messages:
            said = decode(message["Body"])
            assert isinstance(said, DocumentCompleted)
            yield (
                said.document_id,
                said.tenant,
                said.state,
                said.reason,
                said.revision,
                said.output_prefix,
                tuple(sorted(said.pages.items())),
            )


def contract_suites() -> str:
    """What pytest says of the adapters' contracts, MiniStack in moto's place (everything in it is lost)."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "tests.ministack.instead_of_moto"]
    suites = sorted(path for path in (ROOT / "tests" / "contract").glob("test_*.py") if path.name != "test_engines.py")
    try:
        done = subprocess.run(
            [*command, "-k", "not memory", *suites], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"ERROR the suites took more than {LIMIT:g} s"
    return done.stdout if not done.returncode else f"{done.stdout}ERROR pytest ended with {done.returncode}"


def compare(corpus: list[Upload], moto: Side, other: Side) -> bool:
    """Print the table; whether anything differs."""
    table = Table("document", "end on moto", "end on MiniStack", "outputs", box=box.SIMPLE_HEAD)
    wrong = False
    for upload, here, there in zip(corpus, moto.results, other.results, strict=True):
        verdict = difference(here, there)
        wrong |= verdict != "same"
        table.add_row(upload.label, end(here), end(there), verdict)
    for what, ours, theirs in (("dead letters", moto.letters, other.letters), ("announcements", moto.announced, other.announced)):
        wrong |= ours != theirs
        table.add_row(what, str(len(ours)), str(len(theirs)), "same" if ours == theirs else f"differ: {min(ours ^ theirs)}")
    console = Console()
    (console if console.is_terminal else Console(width=outcome.PIPED_WIDTH)).print(table)
    return wrong


def end(result: outcome.Result) -> str:
    """State, pages of each state, reason."""
    document = result.document
    counts = f" {document.done}+{document.degraded}+{document.quarantined}" if document is not None and document.total else ""
    return f"{result.state}{counts}{': ' if result.reason else ''}{result.reason}"


def difference(here: outcome.Result, there: outcome.Result) -> str:
    """The first thing in which two ends of one document differ, or `same`."""
    identities = [result.document.document_id if result.document else "" for result in (here, there)]
    if identities[0] != identities[1]:
        return f"ids {identities[0]} and {identities[1]}"
    if end(here) != end(there):
        return "the ends"
    if here.output is None or there.output is None:
        return "same" if here.output == there.output else "outputs on one side alone"
    return first_difference(here.output, there.output) or "same"


def first_difference(here: Path, there: Path) -> str:
    """The first file, and its first byte, in which two folders of outputs differ; "" when they do not."""
    names = [{path.name for path in folder.iterdir()} - VARIES for folder in (here, there)]
    if names[0] != names[1]:
        return f"{min(names[0] ^ names[1])} on one side alone"
    for name in sorted(names[0]):
        ours, theirs = ((folder / name).read_bytes() for folder in (here, there))
        if ours != theirs:
            at = next((n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), min(len(ours), len(theirs)))
            return f"{name} from byte {at}: {ours[at : at + 20]!r}, {theirs[at : at + 20]!r}"
    return ""


@contextmanager
def limited(stop: Any) -> Iterator[None]:
    """Call `stop` when the time is up."""
    timer = threading.Timer(LIMIT, stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


if __name__ == "__main__":
    sys.exit(main())
