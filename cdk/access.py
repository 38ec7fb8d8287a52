"""What each function may do, in statements narrower than the CDK's grants, which come with wildcards."""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from cdk import acknowledgments
from cdk.resources import Resources
from escriba.topology import WATCH


@dataclass(frozen=True)
class Access:
    """What one function does to the world.

    Queues it sends to; keys of the results bucket it reads and writes; what it asks of the ledger; whether it takes uploads in, announces documents, hastens
    messages that failed, asks vision models, looks after what is under way, or is the canary; queues it looks at and no more.
    """

    sends: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    ledger: tuple[str, ...] = ("GetItem", "Query", "UpdateItem", "PutItem")
    takes_uploads: bool = False
    announces: bool = False
    hastens: bool = False
    reconciles: bool = False
    asks_models: bool = False
    sings: bool = False
    looks_at: tuple[str, ...] = ()


ACCESS = {
    "split_document": Access(
        sends=("intake", "pages", "vision-api", "vision", "assemble"),
        reads=("policies/*", "originals/*", "readings/*"),
        writes=("originals/*", "readings/*"),
        takes_uploads=True,
        announces=True,
    ),
    "recognise_pages": Access(
        sends=("pages", "vision-api", "vision", "assemble", "pages-dlq"),
        reads=("originals/*", "readings/*"),
        writes=("readings/*",),
        hastens=True,
    ),
    "read_with_api": Access(
        sends=("assemble", "vision", "vision-api-dlq"),
        reads=("originals/*", "readings/*"),
        writes=("readings/*",),
        ledger=("GetItem", "UpdateItem"),
        hastens=True,
        asks_models=True,
    ),
    # It reads documents/* only to be told what it has just written: an upload in parts ends with a HEAD.
    "assemble_document": Access(
        reads=("originals/*", "readings/*", "documents/*"),
        writes=("documents/*",),
        ledger=("GetItem", "Query", "UpdateItem"),
        announces=True,
    ),
    "reconcile": Access(sends=("intake", "pages", "vision-api", "vision", "assemble"), announces=True, reconciles=True),
    "canary": Access(reads=("canary/*", "documents/canary/*"), writes=("canary/*",), ledger=("GetItem", "Query", "DeleteItem"), sings=True),
    "quarantine": Access(sends=("pages", "assemble"), announces=True),
}
GPU_TASK = Access(
    sends=("assemble", "vision", "vision-api", "vision-dlq"),
    reads=("originals/*", "readings/*"),
    writes=("readings/*",),
    ledger=("GetItem", "UpdateItem"),
    hastens=True,
)
"""What the worker of the GPU service does: what `read_with_api` does, on its own queue, and it receives and deletes itself."""
MEASURE = Access(looks_at=("vision",), ledger=())
UPLOADS = "inbox/*"
CANARYS_UPLOADS = "inbox/canary/*"
CANARYS_OWN = ("originals/canary/*", "readings/*", "documents/canary/*")
_COLON = cdk.ArnFormat.COLON_RESOURCE_NAME
_IDEMPOTENCY = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
# ReEncrypt and Encrypt are DynamoDB's: it uses the table's key in the caller's name.
_CONSUME = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
_KEY = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")


def grant(role: iam.Role, access: Access, consumes: tuple[str, ...], resources: Resources) -> None:
    """The statements of one function's role, those for its queues included; those for logs and traces come with its construct."""
    if consumes:
        _allow(role, _CONSUME, *(resources.queues[name].queue_arn for name in consumes))
    if access.hastens:
        _allow(role, ("sqs:ChangeMessageVisibility",), *(resources.queues[name].queue_arn for name in consumes))
    if access.looks_at:
        _allow(role, ("sqs:GetQueueAttributes",), *(resources.queues[name].queue_arn for name in access.looks_at))
    if access.ledger:
        _allow(role, _KEY, resources.key.key_arn)
        _allow(role, tuple(f"dynamodb:{verb}" for verb in access.ledger), resources.ledger.table_arn)
    if access.sends:
        _allow(role, ("sqs:SendMessage",), *(resources.queues[name].queue_arn for name in access.sends))
    if access.announces:
        _allow(role, ("events:PutEvents",), resources.bus.event_bus_arn)
    _let_use_objects(role, access, resources.results)
    for wanted, allow in (
        (access.reconciles, _let_reconcile),
        (access.sings, _let_sing),
        (access.takes_uploads, _let_take_uploads),
        (access.asks_models, _let_ask_models),
    ):
        if wanted:
            allow(role, resources)


def _let_use_objects(role: iam.Role, access: Access, results: s3.IBucket) -> None:
    if access.reads:
        # Without ListBucket, S3 says "forbidden" of what is not there, and a missing policy would be tried again instead of refused.
        _allow(role, ("s3:ListBucket",), results.bucket_arn)
        _allow(role, ("s3:GetObject",), *map(results.arn_for_objects, access.reads))
    if access.writes:
        _allow(role, ("s3:PutObject", "s3:AbortMultipartUpload"), *map(results.arn_for_objects, access.writes))
    acknowledgments.key_prefixes(role, results, access.reads + access.writes)


def _let_reconcile(role: iam.Role, resources: Resources) -> None:
    _allow(role, ("dynamodb:Query",), f"{resources.ledger.table_arn}/index/{WATCH}")
    _allow(role, ("sqs:GetQueueAttributes",), *(queue.queue_arn for queue in resources.queues.values()))
    _allow(role, ("s3:ListBucketVersions",), resources.inbox.bucket_arn)
    _allow(role, ("s3:DeleteObjectVersion",), resources.inbox.arn_for_objects(UPLOADS))
    acknowledgments.key_prefixes(role, resources.inbox, [UPLOADS])
    _allow(role, ("cloudwatch:GetMetricStatistics",), "*")


def _let_sing(role: iam.Role, resources: Resources) -> None:
    # It takes away what was never taken in, by the version that it was given.
    _allow(role, ("s3:PutObject", "s3:DeleteObjectVersion"), resources.inbox.arn_for_objects(CANARYS_UPLOADS))
    # Readings are named by document and not by tenant; what is deleted by mistake can be brought back for thirty days.
    _allow(role, ("s3:DeleteObject",), *map(resources.results.arn_for_objects, CANARYS_OWN))
    acknowledgments.key_prefixes(role, resources.inbox, [CANARYS_UPLOADS])
    acknowledgments.key_prefixes(role, resources.results, CANARYS_OWN)


def _let_take_uploads(role: iam.Role, resources: Resources) -> None:
    _allow(role, ("s3:ListBucket", "s3:ListBucketVersions"), resources.inbox.bucket_arn)
    _allow(role, ("s3:GetObjectVersion", "s3:DeleteObjectVersion"), resources.inbox.arn_for_objects(UPLOADS))
    acknowledgments.key_prefixes(role, resources.inbox, [UPLOADS])
    _allow(role, _IDEMPOTENCY, resources.idempotency.table_arn)
    _let_read_secrets(role, {policy.password_secret for policy in resources.policies.values()})


def _let_ask_models(role: iam.Role, resources: Resources) -> None:
    _let_read_secrets(role, {backend.key_secret for backend in resources.backends})


def _let_read_secrets(role: iam.Role, names: set[str]) -> None:
    stack = cdk.Stack.of(role)
    secrets = [
        stack.format_arn(service="secretsmanager", resource="secret", resource_name=f"{name}-??????", arn_format=_COLON)
        for name in sorted(names - {""})
    ]
    if secrets:
        _allow(role, ("secretsmanager:GetSecretValue",), *secrets)
        acknowledgments.secrets(role, secrets)


def _allow(role: iam.Role, actions: tuple[str, ...], *resources: str) -> None:
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(resources)))
