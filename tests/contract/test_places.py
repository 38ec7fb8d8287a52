"""Documents go into a deployed stack and come out of it by its outputs; moto plays the account, its stack made by CloudFormation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from typer.testing import CliRunner, Result

from escriba.aws.stack import refusals
from escriba.cli import app
from escriba.cli.reading import HANDLERS
from escriba.errors import ConfigurationError
from escriba.identity import policy_key
from escriba.local.dispatcher import Dispatcher
from escriba.messages import object_created
from escriba.policy import Policy
from escriba.topology import TOPOLOGY
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
