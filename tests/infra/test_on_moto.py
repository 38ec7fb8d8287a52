"""The Core stack deployed into moto: a document goes from its inbox to its results through the real handlers, within their roles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cdk.access import ACCESS
from cdk.deployment import POLICY_BYTES
from escriba.aws.clients import client
from escriba.aws.ledger import DynamoLedger
from escriba.aws.queue import SqsQueue
from escriba.cli.reading import HANDLERS
from escriba.local.dispatcher import Dispatcher
from escriba.local.embedded_aws import REGION
from escriba.memory.clock import SystemClock
from escriba.policy import Limits, Policy
from escriba.settings import Settings
from escriba.stages import split
from escriba.topology import TOPOLOGY
from tests.documents import picture, text_pdf
from tests.infra.conftest import Template, filled, of_type
from tests.infra.deployed import ACCOUNT, NEVER_MADE, Stack, deployed

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")


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
    """Of the 4 KB, `POLICY_BYTES` are promised to policies; a long stage's name, which stands in eleven of the values, must still fit."""
    for function in HANDLERS:
        environment = stack.environment(function)
        size = sum(len(name) + len(value) for name, value in environment.items()) - len(environment["ESCRIBA_POLICIES"])
        assert size + 11 * (16 - len("dev")) + POLICY_BYTES < 4096


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


UPLOADS = {
    "inbox/acme/default/invoice.pdf": text_pdf("Invoice 41", "Second page"),
    "inbox/acme/default/receipt.png": picture("RECEIPT 77"),
    "inbox/acme/default/broken.pdf": b"%PDF-1.7 and no more",
    "inbox/acme/hasty/slow.png": picture("TOO SLOW"),
    "inbox/acme/unknown/x.pdf": b"x",
    "elsewhere/acme/default/x.pdf": b"not for us",
}


def test_documents_go_from_the_inbox_to_the_results(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads become messages by the stack's own rule; text and pixels are read; what is broken, too slow or garbage ends where it should."""
    s3, inbox, results = boto3.client("s3"), stack.outputs["InboxBucket"], stack.outputs["ResultsBucket"]
    s3.put_bucket_versioning(Bucket=inbox, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(Bucket=inbox, NotificationConfiguration={"EventBridgeConfiguration": {}})
    monkeypatch.setattr(split, "PAGES_PER_SPLIT", 1)  # the second page is planned by a second invocation
    hasty = Policy(name="hasty", limits=Limits(page_seconds=0.001))
    s3.put_object(Bucket=results, Key="policies/hasty.json", Body=hasty.model_dump_json().encode())
    for key, content in UPLOADS.items():
        s3.put_object(Bucket=inbox, Key=key, Body=content)
    settings = Settings.from_env(stack.environment("quarantine"))
    queues = {name: SqsQueue(client("sqs"), url, url.rpartition("/")[2]) for name, url in settings.queues.items()}
    queues["pages"].send(["not a message"])
    Dispatcher(TOPOLOGY, queues, stack.handlers(), SystemClock(), retry_delay=0).run()

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


def test_no_function_did_what_its_role_forbids(stack: Stack) -> None:
    """Every call that the handlers made above is allowed by a statement of their own role; what it grants beyond is named."""
    assert {function for function, *_ in stack.calls} == ACCESS.keys()
    sent = {(function, p["QueueUrl"].rpartition("--")[2]) for function, _, operation, p in stack.calls if operation == "SendMessageBatch"}
    granted = {(function, queue) for function, access in ACCESS.items() for queue in access.sends}
    assert granted - sent == RARELY_SENT
    refused = {
        (function, action, arn)
        for function, service, operation, params in stack.calls
        for action, arn in needed(service, operation, params)
        if not allowed(stack, function, action, arn)
    }
    assert refused == set()
    assert not allowed(stack, "quarantine", "s3:GetObject", f"arn:aws:s3:::{stack.outputs['ResultsBucket']}/originals/x")


RARELY_SENT = {
    ("recognise_pages", "pages"),  # a packet is taken apart
    ("split_document", "assemble"),  # a replay finds nothing waiting
    ("quarantine", "pages"),  # a packet died that had been taken apart, before its pages were sent
}


def needed(service: str, operation: str, params: dict[str, Any]) -> list[tuple[str, str]]:
    """The IAM actions and resources of one call."""
    here = f"us-east-1:{ACCOUNT}"
    match service, operation:
        case "s3", "ListObjectsV2":
            return [("s3:ListBucket", f"arn:aws:s3:::{params['Bucket']}")]
        case "s3", _:
            verb = {"HeadObject": "GetObject"}.get(operation, operation) + ("Version" if params.get("VersionId") else "")
            return [(f"s3:{verb}", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")]
        case "dynamodb", "TransactWriteItems":
            writes = [next(iter(item.items())) for item in params["TransactItems"]]
            return [(f"dynamodb:{verb}Item", f"arn:aws:dynamodb:{here}:table/{write['TableName']}") for verb, write in writes]
        case "dynamodb", _:
            return [(f"dynamodb:{operation}", f"arn:aws:dynamodb:{here}:table/{params['TableName']}")]
        case "sqs", "SendMessageBatch":
            return [("sqs:SendMessage", f"arn:aws:sqs:{here}:{params['QueueUrl'].rpartition('/')[2]}")]
        case "events", "PutEvents":
            return [("events:PutEvents", f"arn:aws:events:{here}:event-bus/{entry['EventBusName']}") for entry in params["Entries"]]
    raise AssertionError(f"no permission is known for {service}:{operation}")


def allowed(stack: Stack, function: str, action: str, arn: str) -> bool:
    """Whether the function's role allows this; the template's references are resolved to what moto made."""
    role = f"{function.replace('_', '')}RoleDefaultPolicy"
    [policy] = [p for name, p in of_type(stack.template, "IAM::Policy").items() if name.startswith(role)]
    for statement in policy["PolicyDocument"]["Statement"]:
        actions, resources = statement["Action"], statement["Resource"]
        if action in ([actions] if isinstance(actions, str) else actions):
            listed = resources if isinstance(resources, list) else [resources]
            if any(fnmatchcase(arn, _arn(stack, resource)) for resource in listed):
                return True
    return False


def _arn(stack: Stack, resource: Any) -> str:
    """The ARN in moto of a resource that a statement names."""
    text = str(filled(stack.template, resource))
    for logical, physical in stack.names.items():
        kind = stack.template["Resources"][logical]["Type"]
        form = {
            "AWS::S3::Bucket": f"arn:aws:s3:::{physical}",
            "AWS::DynamoDB::Table": f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/{physical}",
            "AWS::Events::EventBus": f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/escriba-dev",
        }.get(kind)
        if form is not None:
            text = text.replace(f"arn:aws:x:eu-west-1:{ACCOUNT}:{logical}", form)
    return text.replace("arn:aws:x:eu-west-1", "arn:aws:sqs:us-east-1")
