"""Makes boto3 clients when they are first needed, once a process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60, max_pool_connections=32)
_clients: dict[str, Any] = {}
_sessions: list[boto3.session.Session] = []  # one at most: each looks anew for what every service is called, and who we are
_lock = threading.Lock()


@overload
def client(service: Literal["s3"]) -> S3Client: ...
@overload
def client(service: Literal["sqs"]) -> SQSClient: ...
@overload
def client(service: Literal["dynamodb"]) -> DynamoDBClient: ...
@overload
def client(service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
@overload
def client(service: Literal["events"]) -> EventBridgeClient: ...
@overload
def client(service: Literal["cloudformation", "cloudwatch", "ecs", "sts", "ssm", "service-quotas"]) -> Any: ...


def client(service: str) -> Any:
    """The process's client for a service. Clients may be shared between threads; making them may not. Raises botocore's `NoRegionError`."""
    with _lock:
        if service not in _clients:
            if not _sessions:
                # botocore itself reads AWS_DEFAULT_REGION alone; every other tool of AWS's, and Lambda, goes by AWS_REGION.
                _sessions.append(boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None))
            _clients[service] = _sessions[0].client(service, config=_CONFIG)  # type: ignore[call-overload]
        return _clients[service]


def forget_clients() -> None:
    """Drop the clients, for a process whose credentials or endpoints have changed."""
    with _lock:
        _clients.clear()
        _sessions.clear()
