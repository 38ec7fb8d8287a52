"""Makes in MiniStack what a deployment makes on AWS: functions, their event source mappings, and the rule from the inbox to the intake queue."""

from __future__ import annotations

import io
import json
import os
import site
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3

from escriba.local.embedded_aws import ACCOUNT, REGION
from escriba.settings import Settings
from escriba.topology import FunctionSpec, Topology
from tests.ministack.server import ROOT

WORKERS = 2
"""Invocations of one function at once, whatever its mapping may take: a laptop is no data centre."""
RUNTIME = "python3.12"  # MiniStack runs its own interpreter whatever is asked for


def deploy(topology: Topology, settings: Settings, extra_path: Path) -> None:
    """Functions and mappings as the topology has them, and the inbox's events led to the intake queue.

    `extra_path` is added to the functions' import path (for an engine made for tests).
    """
    code = package(path for name in ("escriba", "lambdas") for path in (ROOT / name).rglob("*.py"))
    # What would be a layer on AWS: MiniStack unpacks a layer for every worker, and ours weighs hundreds of megabytes.
    packages = os.pathsep.join([*site.getsitepackages(), str(extra_path)])
    environment = settings.to_env() | {"PYTHONPATH": packages, "OMP_NUM_THREADS": "1"}
    for function in topology.functions:
        create_function(function, f"lambdas.{function.name}.handler", code, environment)
        if function.max_concurrency > WORKERS:
            boto3.client("lambda").put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=WORKERS)
        for queue in function.consumes:
            create_mapping(function, queue)
    lead_uploads(settings.inbox_bucket, "intake", prefix="inbox/")


def package(paths: Iterable[Path]) -> bytes:
    """A function's code as a zip of files of this checkout."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(paths):
            archive.write(path, path.relative_to(ROOT))
    return out.getvalue()


def create_function(function: FunctionSpec, handler: str, code: bytes, environment: Mapping[str, str]) -> None:
    """One function; no role is looked at, for MiniStack runs without IAM here."""
    boto3.client("lambda").create_function(
        FunctionName=function.name,
        Runtime=RUNTIME,
        Role=f"arn:aws:iam::{ACCOUNT}:role/escriba",
        Handler=handler,
        Code={"ZipFile": code},
        Timeout=int(function.timeout),
        MemorySize=function.memory,
        Environment={"Variables": dict(environment)},
    )


def create_mapping(function: FunctionSpec, queue: str, **changes: Any) -> None:
    """An enabled mapping with partial batch responses. Raises ClientError when MiniStack refuses it."""
    boto3.client("lambda").create_event_source_mapping(
        FunctionName=function.name,
        EventSourceArn=queue_arn(queue),
        Enabled=True,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        **{"BatchSize": function.batch_size, "ScalingConfig": {"MaximumConcurrency": function.max_concurrency}} | changes,
    )


def lead_uploads(bucket: str, queue: str, *, prefix: str) -> None:
    """S3 tells EventBridge of every object; a rule on the default bus leads those under `prefix` to a queue."""
    boto3.client("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": prefix}]}},
    }
    lead(pattern, queue, bus="default")


def lead(pattern: Mapping[str, Any], queue: str, *, bus: str) -> None:
    """A rule on a bus whose events go to a queue as they are."""
    events = boto3.client("events")
    name = f"{bus}-to-{queue}"
    events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern), State="ENABLED")
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": queue, "Arn": queue_arn(queue)}])


def queue_arn(name: str) -> str:
    """The ARN of a queue of this account."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
