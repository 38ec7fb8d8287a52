"""Documents go into a deployed stack and come out of it by its outputs; moto plays the account, its stack made by CloudFormation."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from escriba.aws.stack import refusals
from escriba.cli import app
from escriba.cli.reading import HANDLERS
from escriba.errors import ConfigurationError, EngineOutOfMemory
from escriba.identity import policy_key
from escriba.isolation import IsolatedReader
from escriba.ledger import FORGOTTEN, DeadLetter, JobRow
from escriba.local.dispatcher import Dispatcher
from escriba.messages import object_created
from escriba.policy import Policy
from escriba.topology import MAX_RESENDS, TOPOLOGY
from lambdas.entry import release_worker, worker_ports
from tests.documents import text_pdf


def escriba(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read_everything(addresses: list[str]) -> None:
    """What EventBridge, SQS and Lambda would do once the uploads lie in the inbox."""
    ports = worker_ports()
    ports.results.put(policy_key("default"), Policy().model_dump_json().encode())
    for address in addresses:
        bucket, _, rest = address.removeprefix("s3://").partition("/")
        key, _, version = rest.partition("?versionId=")
        ports.queues["intake"].send([object_created(bucket, key, version, 1, ports.clock.now())])
    Dispatcher(TOPOLOGY, ports.queues, HANDLERS, ports.clock, workers=1, on_worker_end=release_worker).run()


def test_put_status_get_and_show_on_a_stack(stack: str, tmp_path: Path) -> None:
    """By address, job, document and name; before it is read, after it was, and for one that was rejected."""
    good, bad = tmp_path / "good.pdf", tmp_path / "bad.pdf"
    good.write_bytes(text_pdf("some text on a page", "and on another"))
    bad.write_bytes(b"%PDF-1.7 nothing")
    put = escriba("put", good, bad, "--stack", stack, "--tenant", "acme")
    assert put.exit_code == 0, put.output
    (job, address), (bad_job, bad_address) = (line.split("  ") for line in put.stdout.splitlines())
    assert address.startswith("s3://escriba-inbox/inbox/acme/default/good.pdf?versionId=")
    early = escriba("status", address, "--stack", stack)
    assert isinstance(early.exception, ConfigurationError)
    assert "has not been taken in yet" in str(early.exception)
    read_everything([address, bad_address])
    for wanted in (address, address.partition("?")[0], job, "good.pdf"):
        status = escriba("status", wanted, "--stack", stack, "--json")
        assert status.exit_code == 0, status.output
        told = json.loads(status.stdout)
        assert (told["job_id"], told["state"], told["pages"], told["done"]) == (job, "DONE", 2, 2)
    rejected = escriba("status", bad_job, "--stack", stack)
    assert (rejected.exit_code, "REJECTED" in rejected.stdout) == (1, True)
    shown = escriba("show", told["document_id"][:8], "--stack", stack)
    assert "2 pages = 2 done" in shown.stdout
    got = escriba("get", job, "--stack", stack, "--to", tmp_path / "got")
    assert got.exit_code == 0, got.output
    assert "some text on a page" in (tmp_path / "got" / "good" / "document.md").read_text()
    refused = escriba("get", bad_job, "--stack", stack)
    assert "nothing has been delivered" in str(refused.exception)
    unknown = escriba("status", "nothing.pdf", "--stack", stack)
    assert "knows no document 'nothing.pdf'; it knows bad.pdf, good.pdf" in str(unknown.exception)


def test_status_of_the_whole_stack_and_a_redrive(stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that their reader failed are named with their reason; the redrive sends them, and a second one finds nothing more."""
    (tmp_path / "a.pdf").write_bytes(text_pdf("some text on a page", "and on another"))
    address = escriba("put", tmp_path / "a.pdf", "--stack", stack, "--tenant", "acme").stdout.split()[1]
    waiting = json.loads(escriba("status", "--stack", stack, "--json").stdout)
    assert waiting["inbox"] == {"not taken in yet": 1}
    whole = IsolatedReader.read

    def out_of_memory(*_: object) -> None:
        raise EngineOutOfMemory("the reader needed more than its 2752 MiB of memory")

    monkeypatch.setattr(IsolatedReader, "read", out_of_memory)
    read_everything([address])
    monkeypatch.setattr(IsolatedReader, "read", whole)
    cloudwatch = boto3.client("cloudwatch")
    for name in ("pages-quarantined", "canary-silent"):
        cloudwatch.put_metric_alarm(AlarmName=f"escriba-test-{name}", EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold")
    cloudwatch.set_alarm_state(AlarmName="escriba-test-pages-quarantined", StateValue="ALARM", StateReason="x")
    cloudwatch.put_metric_data(Namespace="Escriba/test", MetricData=[{"MetricName": "CanaryRuns", "Value": 1}])
    seen = escriba("status", "--stack", stack)
    assert seen.exit_code == 1, seen.output
    for sentence in (
        "1 PARTIAL",
        "2 = 0 done + 0 degraded + 2 quarantined + 0 waiting",
        "conserved: counted again for 1 document",
        "2 pages: the reader needed more than its 2752 MiB of memory",
        "RED pages-quarantined",
        "pages             0 waiting",
        f"escriba redrive --stack {stack} --reason 'the reader needed more than its 2752 MiB of memory' --dry-run",
    ):
        assert sentence in seen.stdout
    assert "canary     last ran" in seen.stdout
    assert "reconciler has not run within three hours" in seen.stdout
    unknown = escriba("redrive", "--stack", stack, "--yes", "--document", "b.pdf")
    assert "knows no document 'b.pdf'; did you mean a.pdf?" in str(unknown.exception)
    for asked in (("--tenant", "other"), ("--reason", "killed"), ("--since", "2999-01-01")):
        assert "Nothing that can be sent again" in escriba("redrive", "--stack", stack, "--yes", *asked).stdout
    dry = escriba("redrive", "--stack", stack, "--dry-run", "--max", 1)
    assert "1 more are over --max" in dry.stdout
    unasked = escriba("redrive", "--stack", stack)
    assert "add --yes to send it" in str(unasked.exception)
    assert json.loads(escriba("status", "--stack", stack, "--json").stdout)["queues"]["pages"]["visible"] == 0
    sent = escriba("redrive", "--stack", stack, "--reason", "MEMORY", "--since", "2h", "--yes")
    assert "Sent 2 again; see escriba status" in sent.stdout
    assert json.loads(escriba("status", "--stack", stack, "--json").stdout)["queues"]["pages"]["visible"] == 2
    assert "Nothing" in escriba("redrive", "--stack", stack, "--yes").stdout
    read_everything([])
    told = json.loads(escriba("status", "a.pdf", "--stack", stack, "--json").stdout)
    assert (told["state"], told["done"], told["revision"]) == ("DONE", 2, 2)


def test_an_upload_whose_event_was_lost_is_not_called_rejected(stack: str) -> None:
    """It is received, until it is taken in."""
    worker_ports().recovery.note_upload(JobRow(job_id="job", tenant="acme", key="inbox/acme/default/a.pdf", code=FORGOTTEN, resends=1))
    told = json.loads(escriba("status", "job", "--stack", stack, "--json").stdout)
    assert told["state"] == "RECEIVED"
    assert "its event was lost" in told["reason"]
    assert "its event was lost" in str(escriba("get", "job", "--stack", stack).exception)


def test_an_upload_that_was_lost_every_time_is_sent_by_a_redrive(stack: str, tmp_path: Path) -> None:
    """The reconciler has given it up; a kept dead letter is counted."""
    (tmp_path / "a.pdf").write_bytes(text_pdf("some text on a page"))
    job, _ = escriba("put", tmp_path / "a.pdf", "--stack", stack).stdout.split()
    ports, lost = worker_ports(), JobRow(job_id=job, tenant="default", key="inbox/default/default/a.pdf", code=FORGOTTEN)
    ports.recovery.note_upload(replace(lost, resends=MAX_RESENDS - 1))
    assert "Nothing that can be sent again" in escriba("redrive", "--stack", stack, "--yes").stdout
    ports.recovery.note_upload(replace(lost, resends=MAX_RESENDS))
    assert "Sent 1 again" in escriba("redrive", "--stack", stack, "--yes", "--reason", "event was lost").stdout
    ports.ledger.record_dead_letter(DeadLetter(message_id="1", queue="pages-dlq", reason="no message", body="x"))
    assert "1 dead letters name nothing" in escriba("status", "--stack", stack).stdout.replace("\n             ", " ")
    read_everything([])
    assert json.loads(escriba("status", job, "--stack", stack, "--json").stdout)["state"] == "DONE"


def test_a_redrive_of_a_stack_without_our_queues_is_refused(stack: str) -> None:
    """With the queue's name, and the way out."""
    boto3.client("sqs").delete_queue(QueueUrl=boto3.client("sqs").get_queue_url(QueueName="escriba-test--intake")["QueueUrl"])
    result = escriba("status", "--stack", stack)
    assert isinstance(result.exception, ConfigurationError)
    assert "there is no queue escriba-test--intake" in str(result.exception)


def test_what_is_no_stack_of_ours_is_said(stack: str) -> None:
    """A name that is none, and another program's stack."""
    for name, sentence in (("nowhere", "there is no stack 'nowhere' in us-east-1"), ("another", "it is no Core stack")):
        result = escriba("status", "x", "--stack", name)
        assert isinstance(result.exception, ConfigurationError)
        assert sentence in str(result.exception)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NoRegionError(), "no AWS region is set"),
        (NoCredentialsError(), "there are no AWS credentials"),
        (EndpointConnectionError(endpoint_url="x"), "AWS cannot be reached"),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "GetItem"), "log in again"),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "GetItem"), "may not do GetItem"),
        (ClientError({"Error": {"Code": "Odd"}}, "GetItem"), r"AWS refused GetItem \(Odd\)"),
    ],
)
def test_each_refusal_of_aws_gets_one_sentence(error: Exception, sentence: str) -> None:
    """With the way out."""
    with pytest.raises(ConfigurationError, match=sentence), refusals():
        raise error
