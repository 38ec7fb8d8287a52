"""The doctor looks at a machine, an account and a deployment; moto plays the account."""

from __future__ import annotations

import shutil
from pathlib import Path

import boto3
import pymupdf
import pytest
from moto import mock_aws

from escriba.aws.account import account_checks
from escriba.aws.clients import forget_clients
from escriba.cli import doctor
from escriba.health import Check
from tests.contract.test_places import escriba, read_everything


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named with the way out; only a failure ends with 1."""
    fine = escriba("doctor")
    assert fine.exit_code == 0, fine.output
    assert "ok    engine: auto for por+eng" in fine.stdout
    (tmp_path / "p.toml").write_text('[ocr]\nengine = "nothing"')
    lacking = escriba("doctor", "--policy", tmp_path / "p.toml")
    assert lacking.exit_code == 1
    assert "FAIL  engine: there is no engine named 'nothing'" in lacking.stdout
    (tmp_path / "p.toml").write_text('languages = ["xyz"]')
    alone = escriba("doctor", "--policy", tmp_path / "p.toml")
    assert alone.exit_code == 0
    assert "warn  tesseract: has no data for xyz, so RapidOCR reads alone" in alone.stdout
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bare = escriba("doctor", "--aws")
    assert bare.exit_code == 1
    assert "FAIL  node: it comes with the stacks' packages; run make synth" in bare.stdout
    assert "FAIL  docker: there is no docker" in bare.stdout
    assert "FAIL  credentials: " in bare.stdout


def test_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not bootstrapped, bootstrapped too long ago, fit; quotas that nobody tells are no failure."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        forget_clients()
        found = by_name(account_checks())
        assert (found["credentials"].state, "region eu-west-1" in found["credentials"].told) == ("ok", True)
        assert found["cdk bootstrap"].state == "fail"
        account = boto3.client("sts").get_caller_identity()["Account"]
        assert f'make cdk DO="bootstrap aws://{account}/eu-west-1"' in found["cdk bootstrap"].told
        for version, state in (("5", "fail"), ("21", "ok")):
            boto3.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value=version, Type="String", Overwrite=True)
            assert by_name(account_checks())["cdk bootstrap"].state == state
        assert all(check.state != "fail" or check.told.endswith(("L-B99A9384", "once")) for check in account_checks())
    forget_clients()


def test_a_deployment_reads_a_document_that_nobody_has_sent_before(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real door; a pipeline that does not move is a failure that says where to look."""
    uploaded: list[str] = []

    def time_passes(_: float) -> None:
        [version] = boto3.client("s3").list_object_versions(Bucket="escriba-inbox", Prefix="inbox/doctor/")["Versions"]
        uploaded.append(f"s3://escriba-inbox/{version['Key']}?versionId={version['VersionId']}")
        read_everything(uploaded[-1:])

    monkeypatch.setattr(doctor.time, "sleep", time_passes)
    fit = escriba("doctor", "--stack", stack)
    assert fit.exit_code == 0, fit.output
    assert "ok    smoke document: read in" in fit.stdout
    monkeypatch.setattr(doctor, "_SMOKE_SECONDS", 0.01)
    monkeypatch.undo()
    monkeypatch.setattr(doctor, "_SMOKE_SECONDS", 0.01)
    stuck = escriba("doctor", "--stack", stack)
    assert stuck.exit_code == 1
    assert "FAIL  smoke document: not read within" in stuck.stdout
    assert "FAIL  stack: there is no stack 'nowhere'" in escriba("doctor", "--stack", "nowhere").stdout


def test_the_smoke_document_is_a_sound_pdf() -> None:
    """Its text is what was asked for, and nothing needs mending."""
    with pymupdf.open(stream=doctor.one_line_pdf("smoke 42"), filetype="pdf") as document:
        assert document[0].get_text().strip() == "smoke 42"
        assert not document.is_repaired
