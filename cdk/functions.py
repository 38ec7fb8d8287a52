"""The functions of the topology, each with its role, its log group and its queues."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk import acknowledgments, packages
from cdk.access import Access, grant
from cdk.deployment import Deployment
from cdk.resources import Resources
from escriba.topology import FunctionSpec

_OWN_MEMORY_MB = 256
"""What the handler itself keeps of a function's memory; a reader that wants more than the rest ends alone, not the whole sandbox."""
_LEAST_READER_MB = 256
_SCRATCH_MB = 4096
"""Room in /tmp for an original of the largest size a policy lets in by default, its plain copy and the outputs."""
_RUNTIME = {"3.13": lambda_.Runtime.PYTHON_3_13}
_ARCHITECTURE = {"x86_64": lambda_.Architecture.X86_64, "arm64": lambda_.Architecture.ARM_64}


class Function(Construct):
    """One function of the topology, which may do what `access` says."""

    def __init__(self, scope: Construct, deployment: Deployment, spec: FunctionSpec, resources: Resources, access: Access) -> None:
        super().__init__(scope, spec.name)
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=logs.RetentionDays.ONE_YEAR if deployment.keeps_data else logs.RetentionDays.TWO_WEEKS,
            removal_policy=cdk.RemovalPolicy.RETAIN if deployment.keeps_data else cdk.RemovalPolicy.DESTROY,
        )
        # A role of its own: the one that Lambda would be given may write to every log group of the account.
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        grant(role, access, spec.consumes, resources)
        acknowledgments.tracing(role)
        settings = resources.settings(reader_memory_mb=max(_LEAST_READER_MB, spec.memory - _OWN_MEMORY_MB))
        self.function = self._make(
            deployment,
            spec.name,
            role=role,
            log_group=log_group,
            timeout=cdk.Duration.seconds(spec.timeout),
            memory_size=spec.memory,
            environment=settings.to_env(),
            tracing=lambda_.Tracing.ACTIVE,
            architecture=_ARCHITECTURE[deployment.architecture],
            ephemeral_storage_size=cdk.Size.mebibytes(_SCRATCH_MB) if access.reads else None,
            # A long document is split by a chain of invocations, which Lambda would take for a loop and cut off after sixteen.
            recursive_loop=lambda_.RecursiveLoop.ALLOW if set(access.sends) & set(spec.consumes) else None,
        )
        for name in spec.consumes:
            # Not the CDK's SqsEventSource, which grants more than Lambda's pollers ask for.
            self.function.add_event_source_mapping(
                name,
                event_source_arn=resources.queues[name].queue_arn,
                batch_size=spec.batch_size,
                max_concurrency=spec.max_concurrency,
                report_batch_item_failures=True,
            )

    def _make(self, deployment: Deployment, name: str, **properties: Any) -> lambda_.Function:
        if name in packages.IMAGED:
            return lambda_.DockerImageFunction(self, "Function", code=packages.image(name, deployment), **properties)
        function = lambda_.Function(
            self,
            "Function",
            code=packages.archive(name, deployment),
            handler=f"lambdas.{name}.handler",
            runtime=_RUNTIME[packages.PYTHON],
            **properties,
        )
        acknowledgments.runtime(function)
        return function
