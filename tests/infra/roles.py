"""What the roles of the deployed stack grant, and which permissions a call to AWS needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from tests.infra.conftest import filled, of_type
from tests.infra.deployed import ACCOUNT, Stack

Grant = tuple[str, str]
"""An action and the pattern of ARNs it is granted on."""
_HERE = f"us-east-1:{ACCOUNT}"
_ITEM = {verb: f"{verb}Item" for verb in ("Put", "Update", "Delete")}
_ROLE_ACTION = {
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}


def needed(service: str, operation: str, params: dict[str, Any]) -> list[tuple[str, str]]:
    """The IAM actions and resources of one call."""
    verb = _ROLE_ACTION.get(operation, operation)
    match service:
        case "s3":
            return [(f"s3:{verb}{'Version' if params.get('VersionId') else ''}", _in_bucket(params))]
        case "dynamodb":
            writes = [next(iter(item.items())) for item in params.get("TransactItems", ())] or [(operation, params)]
            return [(f"dynamodb:{_ITEM.get(name, name)}", _in_table(write)) for name, write in writes]
        case "sqs":
            return [(f"sqs:{verb}", f"arn:aws:sqs:{_HERE}:{params['QueueUrl'].rpartition('/')[2]}")]
        case "events":
            return [("events:PutEvents", f"arn:aws:events:{_HERE}:event-bus/{entry['EventBusName']}") for entry in params["Entries"]]
        case "cloudwatch":
            return [(f"cloudwatch:{operation}", "*")]
    raise AssertionError(f"no permission is known for {service}:{operation}")


def _in_bucket(params: dict[str, Any]) -> str:
    return f"arn:aws:s3:::{params['Bucket']}" + (f"/{params['Key']}" if "Key" in params else "")


def _in_table(params: dict[str, Any]) -> str:
    index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
    return f"arn:aws:dynamodb:{_HERE}:table/{params['TableName']}{index}"


def grants(stack: Stack, function: str) -> set[Grant]:
    """Every action with every resource of the function's role; the template's references are resolved to what moto made."""
    role = f"{function.replace('_', '')}RoleDefaultPolicy"
    [policy] = [p for name, p in of_type(stack.template, "IAM::Policy").items() if name.startswith(role)]
    found = set()
    for statement in policy["PolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Allow"
        assert statement.keys() <= {"Effect", "Action", "Resource"}  # a condition would need a reader here
        for action in _listed(statement["Action"]):
            found |= {(action, _arn(stack, resource)) for resource in _listed(statement["Resource"])}
    return found


def allowing(granted: set[Grant], action: str, arn: str) -> set[Grant]:
    """The grants that allow this."""
    return {grant for grant in granted if grant[0] == action and fnmatchcase(arn, grant[1])}


def short(stack: Stack, grant: Grant) -> str:
    """A grant in words that are the same in every deployment: `s3:GetObject results/originals/*`."""
    action, arn = grant
    names = {stack.outputs["InboxBucket"]: "inbox", stack.outputs["ResultsBucket"]: "results", stack.outputs["LedgerTable"]: "ledger"}
    names[stack.physical("DynamoDB::Table", "TablesIdempotency")] = "idempotency"
    resource = re.sub(r"^arn:aws:s3:::|^.*[:/](?=[\w-]+$)", "", arn)
    for name, word in names.items():
        resource = resource.replace(name, word)
    for kind, word in (("KMS::Key", "key"), ("Logs::LogGroup", "logs")):
        resource = word if resource in of_type(stack.template, kind) else resource
    return f"{action} {resource.rpartition('--')[2]}"


def _listed(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else [value]


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
