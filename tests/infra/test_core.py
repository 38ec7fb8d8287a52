"""The Core stack's template, against literal expectations."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from moto.events.models import EventPattern

from escriba.identity import upload_key
from escriba.messages import object_created
from escriba.settings import Settings
from escriba.topology import TOPOLOGY
from tests.documents import ROOT
from tests.infra.conftest import Synthesise, Template, filled, of_type, queue_name

DATA = ("S3::Bucket", "DynamoDB::Table", "KMS::Key")


def test_every_function_is_told_what_it_needs(dev: Template) -> None:
    """Each environment makes a `Settings` with the topology's eight queues and the packaged policies, in the 4 KB that AWS allows."""
    functions = of_type(dev, "Lambda::Function")
    assert len(functions) == 7
    for function in functions.values():
        environment = filled(dev, function["Environment"]["Variables"])
        settings = Settings.from_env(environment)
        assert sorted(settings.queues) == sorted(spec.name for spec in TOPOLOGY.all_queues())
        assert settings.backends == ()
        assert settings.policies["default"].languages == ("por", "eng")
        assert settings.metric_namespace == "Escriba/dev"
        assert settings.reader_memory_mb <= max(256, function["MemorySize"] - 256)
        assert len(json.dumps(environment)) < 2_000


def test_every_queue_has_its_dead_letters(dev: Template) -> None:
    """Three receives (twenty where a page may wait for its model), then a queue that takes dead letters from it alone and keeps them 14 days; visible again after six timeouts."""
    queues = {queue["QueueName"].rpartition("--")[2]: queue for queue in of_type(dev, "SQS::Queue").values()}
    timeouts = {
        queue_name(dev, mapping["EventSourceArn"]): of_type(dev, "Lambda::Function")[mapping["FunctionName"]["Ref"]]["Timeout"]
        for mapping in of_type(dev, "Lambda::EventSourceMapping").values()
    }
    for name, receives in (("intake", 3), ("pages", 3), ("vision-api", 20), ("vision", 20), ("assemble", 3)):
        source, dead = queues[name], queues[f"{name}-dlq"]
        assert queue_name(dev, source["RedrivePolicy"]["deadLetterTargetArn"]) == f"{name}-dlq"
        assert source["RedrivePolicy"]["maxReceiveCount"] == receives
        assert source["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}
        allowed = filled(dev, dead["RedriveAllowPolicy"])
        assert allowed["redrivePermission"] == "byQueue"
        assert [arn.rpartition(":")[2] for arn in allowed["sourceQueueArns"]] == [f"escriba-dev--{name}"]
        assert (source["MessageRetentionPeriod"], dead["MessageRetentionPeriod"]) == (345_600, 1_209_600)
    assert all(queues[name]["VisibilityTimeout"] >= 6 * timeout for name, timeout in timeouts.items())
    assert queues.keys() - timeouts.keys() == {"vision"}  # whose reader says every so often that it is still at it
    assert not any("FifoQueue" in queue for queue in queues.values())


def test_buckets_are_private_encrypted_and_versioned(dev: Template) -> None:
    """Inbox and results under the stage's key with a record of access; no half upload stays."""
    buckets = of_type(dev, "S3::Bucket")
    assert len(buckets) == 3
    for name, bucket in buckets.items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        [encryption] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        logs = "AccessLogs" in name
        assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == ("AES256" if logs else "aws:kms")
        assert logs or "LoggingConfiguration" in bucket
        [rule] = bucket["LifecycleConfiguration"]["Rules"]
        assert logs or rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
        assert logs or "ExpirationInDays" not in rule
    [inbox] = [bucket for name, bucket in buckets.items() if "Inbox" in name]
    assert inbox["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


@pytest.mark.parametrize(("kind", "policies"), [("S3::Bucket", "S3::BucketPolicy"), ("SQS::Queue", "SQS::QueuePolicy")])
def test_nothing_is_reached_without_tls(dev: Template, kind: str, policies: str) -> None:
    """Each bucket and queue has a policy that denies everybody everything over plain HTTP."""
    secured = set()
    for policy in of_type(dev, policies).values():
        denials = [statement for statement in policy["PolicyDocument"]["Statement"] if statement["Effect"] == "Deny"]
        plain = [s for s in denials if s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}]
        assert [(s["Principal"], s["Action"]) for s in plain] == [({"AWS": "*"}, f"{policies.split('::', maxsplit=1)[0].lower()}:*")]
        secured |= {policy["Bucket"]["Ref"]} if "Bucket" in policy else {queue["Ref"] for queue in policy["Queues"]}
    assert secured == of_type(dev, kind).keys()


def test_there_is_no_custom_resource(dev: Template, prod: Template) -> None:
    """Nothing that runs code of the CDK's own in the account: no such type, and no function but the seven."""
    for template in (dev, prod):
        types = {resource["Type"] for resource in template["Resources"].values()}
        assert not [kind for kind in types if re.search("Custom", kind)]
        assert len(of_type(template, "Lambda::Function")) == 7


def test_every_name_carries_its_stage(dev: Template, prod: Template) -> None:
    """Two stages share an account and a region: what has a name of its own has another in each; the rest is named by CloudFormation."""
    names = [
        {
            filled(template, value)
            for resource in template["Resources"].values()
            for field, value in resource.get("Properties", {}).items()
            if re.fullmatch(r"Name|\w*[a-z]Name|AliasName", field) and field not in {"FunctionName", "PolicyName"}
        }
        for template in (dev, prod)
    ]
    assert len(names[0]) == 15
    assert names[0] == {name.replace("prod", "dev") for name in names[1]}
    assert all("escriba-dev" in name for name in names[0])


def test_the_data_of_production_outlives_its_stack(dev: Template, prod: Template) -> None:
    """Buckets, tables and their key are kept, tables cannot be deleted; a dev stage leaves nothing behind on purpose."""
    for template, policy in ((dev, "Delete"), (prod, "Retain")):
        kept = [r for r in template["Resources"].values() if r["Type"].removeprefix("AWS::") in DATA]
        assert {(r["DeletionPolicy"], r["UpdateReplacePolicy"]) for r in kept} == {(policy, policy)}
        assert len(kept) == 6
    assert {table["DeletionProtectionEnabled"] for table in of_type(prod, "DynamoDB::Table").values()} == {True}


def test_tables_recover_and_forget(prod: Template) -> None:
    """Point-in-time recovery, on demand, the stage's key; only the idempotency table forgets, by Powertools' attribute."""
    ledger, idempotency = sorted(of_type(prod, "DynamoDB::Table").values(), key=lambda table: len(table["KeySchema"]), reverse=True)
    for table in (ledger, idempotency):
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["SSESpecification"]["SSEType"] == "KMS"
        assert table["SSESpecification"]["KMSMasterKeyId"]["Fn::GetAtt"][0].startswith("EncryptionKey")
    assert keys(ledger) == {"pk": "HASH", "sk": "RANGE"}
    assert keys(idempotency) == {"id": "HASH"}
    assert "TimeToLiveSpecification" not in ledger
    assert idempotency["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}


def keys(table: dict[str, Any]) -> dict[str, str]:
    types = {a["AttributeName"]: a["AttributeType"] for a in table["AttributeDefinitions"]}
    assert {name for name, kind in types.items() if kind != "S"} <= {"received_at"}
    return {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]}


@pytest.mark.parametrize(
    ("bucket", "key", "through"),
    [
        ("inbox", upload_key("acme", "default", "a b.pdf"), True),
        ("inbox", upload_key("acme", "invoices", "2026/11/a.pdf"), True),
        ("inbox", "inbox/no-policy.pdf", True),  # to be answered with a reason
        ("inbox", "elsewhere/acme/default/a.pdf", False),
        ("results", upload_key("acme", "default", "a.pdf"), False),
    ],
)
def test_the_rule_lets_uploads_through(dev: Template, bucket: str, key: str, *, through: bool) -> None:
    """The very events that the handlers are tested with, matched by the rule's pattern."""
    from escriba.memory.clock import SystemClock

    [rule] = of_type(dev, "Events::Rule").values()
    pattern = json.dumps(filled(dev, rule["EventPattern"]))
    [inbox] = [name for name in of_type(dev, "S3::Bucket") if "Inbox" in name]
    event = object_created(inbox if bucket == "inbox" else bucket, key, "v1", 10, SystemClock().now())
    assert EventPattern.load(pattern).matches_event(json.loads(event)) is through
    assert [queue_name(dev, target["Arn"]) for target in rule["Targets"]] == ["intake"]


def test_functions_are_traced_and_their_logs_end(dev: Template, prod: Template) -> None:
    """X-Ray, a log group of its own with an end for each; the processor as asked; split may call itself through its queue."""
    for template, days, processor in ((dev, 14, "x86_64"), (prod, 365, "arm64")):
        functions, groups = of_type(template, "Lambda::Function"), of_type(template, "Logs::LogGroup")
        assert {function["TracingConfig"]["Mode"] for function in functions.values()} == {"Active"}
        assert {function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions.values()} == groups.keys()
        assert {group["RetentionInDays"] for group in groups.values()} == {days}
        assert [function["Architectures"] for function in functions.values()] == [[processor]] * 7
    looping = {name for name, function in of_type(dev, "Lambda::Function").items() if function.get("RecursiveLoop") == "Allow"}
    assert {name.split("Function")[0] for name in looping} == {"splitdocument", "recognisepages"}


def test_everything_is_tagged(dev: Template) -> None:
    """Cost reports find project and stage."""
    for kind in (*DATA, "SQS::Queue", "Lambda::Function"):
        for resource in of_type(dev, kind).values():
            tags = {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
            assert tags == {"project": "escriba", "stage": "dev"}, kind


def test_cloudformation_knows_every_property(dev: Template) -> None:
    """cfn-lint, with the schemas of the resource types: no error."""
    from cfnlint.api import lint_all

    found = {(match.rule.id, match.message) for match in lint_all(json.dumps(dev))}
    # I: advice. W3005: a dependency said twice, by the CDK.
    assert {(rule, message) for rule, message in found if not rule.startswith("I") and rule != "W3005"} == set()


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"stage": "Prod!"}, "stage: 'Prod!' is no name of a stage"),
        ({"architecture": "riscv"}, "architecture"),
        ({"alarm_email": "nobody"}, "alarm_email: 'nobody' is no address, say ops@example.org; empty: nobody, in dev alone"),
        ({"stage": "prod"}, "alarm_email: the stage prod has alarms, and somebody must hear them"),
        ({"monthly_budget_usd": -1}, "monthly_budget_usd"),
        ({"policies": "examples"}, r"name the file examples\.toml"),
        ({"policies": "docs"}, r"no default\.toml"),
    ],
)
def test_a_wrong_context_is_refused_by_name(synthesise: Synthesise, context: dict[str, Any], sentence: str) -> None:
    """In one sentence, before anything is made."""
    with pytest.raises(ValueError, match=sentence):
        synthesise(**context)


def test_the_command_says_it_in_one_sentence() -> None:
    """`make synth STAGE=Bad-1`: no traceback, status 1."""
    command, context = [sys.executable, "-m", "cdk.app"], {"CDK_CONTEXT_JSON": '{"stage": "Bad-1"}'}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | context, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("escriba: cdk.json's context, or a -c on the command line, is not accepted: stage: ")


def test_policies_are_checked_before_they_are_deployed(synthesise: Synthesise, tmp_path: Any) -> None:
    """A setting that does not exist, and more than an environment holds, end the synthesis; a secret that one names may be read."""
    (tmp_path / "default.toml").write_text('name = "default"\n')
    (tmp_path / "locked.toml").write_text('name = "locked"\npassword_secret = "escriba/passwords"\n')
    statements = [s for p in of_type(synthesise(policies=str(tmp_path)), "IAM::Policy").values() for s in p["PolicyDocument"]["Statement"]]
    [secret] = [s["Resource"]["Fn::Join"][1] for s in statements if s["Action"] == "secretsmanager:GetSecretValue"]
    assert secret[-1] == ":secret:escriba/passwords-??????"
    (tmp_path / "locked.toml").write_text("colour = 1\n")
    with pytest.raises(Exception, match="colour"):
        synthesise(policies=str(tmp_path))
    (tmp_path / "locked.toml").unlink()
    for number in range(120):
        (tmp_path / f"p{number}.toml").write_text(f'name = "p{number}"\n')
    with pytest.raises(ValueError, match="environment"):
        synthesise(policies=str(tmp_path))


def test_the_context_of_cdk_json_is_all_known() -> None:
    """What cdk.json sets is either ours, read and checked, or a flag of the CDK's."""
    from cdk.deployment import Deployment

    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    assert {name for name in context if not name.startswith("@aws-cdk/")} == set(Deployment.model_fields)
