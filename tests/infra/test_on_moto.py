"""The Core stack deployed into moto: a document goes from its inbox to its results through the real handlers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError

from cdk.deployment import BACKENDS_BYTES, POLICY_BYTES
from escriba.aws.clients import client
from escriba.aws.ledger import DynamoLedger
from escriba.cli.reading import HANDLERS
from escriba.local.embedded_aws import REGION
from escriba.memory.clock import SystemClock
from tests.infra.conftest import Template
from tests.infra.deployed import NEVER_MADE, Stack, deployed
from tests.infra.uploads import send_all

pytestmark = [
    pytest.mark.filterwarnings("ignore:Tried to parse AWS"),
    pytest.mark.no_cover,  # each function's sandbox starts a reader of its own
]


@pytest.fixture(scope="module")
def stack(dev: Template) -> Iterator[Stack]:
    with deployed(dev) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _account(_no_account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that moto plays."""
    for name, value in (("DEFAULT_REGION", REGION), ("ACCESS_KEY_ID", "moto"), ("SECRET_ACCESS_KEY", "moto")):
        monkeypatch.setenv(f"AWS_{name}", value)


def test_everything_is_made_but_what_moto_never_makes(stack: Stack) -> None:
    """Moto skips these types and says CREATE_COMPLETE: when it learns one, this test asks for its gap to be closed."""
    resources = stack.template["Resources"]
    absent = {resources[name]["Type"] for name in resources if name not in stack.names}
    assert absent == NEVER_MADE
    assert stack.names.keys() <= resources.keys()


def test_the_environment_leaves_room_for_policies(stack: Stack) -> None:
    """Of the 4 KB, `POLICY_BYTES` are promised to policies and `BACKENDS_BYTES` to backends; a long stage's name, which stands in thirteen of the values, must still fit."""
    for function in HANDLERS:
        environment = stack.environment(function)
        size = sum(len(name) + len(value) for name, value in environment.items()) - len(environment["ESCRIBA_POLICIES"])
        assert size + 13 * (16 - len("dev")) + POLICY_BYTES + BACKENDS_BYTES < 4096


def test_what_moto_makes_only_in_part(stack: Stack) -> None:
    """These properties are in the template and not in moto's resources: the pipeline below makes up for the first two by hand."""
    s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
    inbox, idempotency = stack.outputs["InboxBucket"], stack.physical("DynamoDB::Table", "TablesIdempotency")
    recovery = dynamodb.describe_continuous_backups(TableName=idempotency)["ContinuousBackupsDescription"]
    assert s3.get_bucket_versioning(Bucket=inbox).get("Status") is None
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket=inbox)
    with pytest.raises(ClientError, match="PublicAccessBlock"):
        s3.get_public_access_block(Bucket=inbox)
    with pytest.raises(ClientError, match="lifecycle"):
        s3.get_bucket_lifecycle_configuration(Bucket=inbox)
    assert dynamodb.describe_time_to_live(TableName=idempotency)["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"


def test_what_moto_stumbles_over(stack: Stack, dev: Template) -> None:
    """A key with tags ends in a KeyError, a reference to a bus is no text: `fit_for_moto` takes both out of the template."""
    formation = boto3.client("cloudformation", region_name="eu-west-1")
    with pytest.raises(KeyError, match="TagKey"):
        formation.create_stack(StackName="key", TemplateBody=json.dumps({"Resources": only(dev, "AWS::KMS::Key")}))
    bus = only(dev, "AWS::Events::EventBus")
    body = {"Resources": bus, "Outputs": {"Bus": {"Value": {"Ref": next(iter(bus))}}}}
    formation.create_stack(StackName="bus", TemplateBody=json.dumps(body))
    [output] = formation.describe_stacks(StackName="bus")["Stacks"][0]["Outputs"]
    assert output["OutputValue"] != "escriba-dev"


def only(template: Template, kind: str) -> Template:
    """The resources of one type, depending on nothing else."""
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] == kind}


def test_documents_go_from_the_inbox_to_the_results(stack: Stack) -> None:
    """Uploads become messages by the stack's own rule; text and pixels are read; what is broken, too slow or garbage ends where it should."""
    s3, inbox, results = boto3.client("s3"), stack.outputs["InboxBucket"], stack.outputs["ResultsBucket"]
    settings = send_all(stack)
    ledger = DynamoLedger(client("dynamodb"), settings.ledger_table, SystemClock())
    documents = {document.name: document for document in ledger.documents()}
    states = {"invoice.pdf": ("DONE", 2), "receipt.png": ("DONE", 1), "broken.pdf": ("REJECTED", 0), "slow.png": ("PARTIAL", 1)}
    assert {name: (d.state, d.total) for name, d in documents.items()} == states
    for name, words in (("invoice.pdf", "Invoice 41"), ("receipt.png", "RECEIPT 77"), ("slow.png", "could not be read")):
        stored = s3.get_object(Bucket=results, Key=documents[name].output_prefix + "document.md")["Body"].read().decode()
        assert words in stored
    assert [letter.queue for letter in ledger.dead_letters()] == ["pages-dlq"]
    left = {entry["Key"] for entry in s3.list_objects_v2(Bucket=inbox)["Contents"]}
    assert left == {"inbox/acme/unknown/x.pdf", "elsewhere/acme/default/x.pdf"}
