"""What runs by the clock: the reconciler and the canary."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from cdk.deployment import Deployment
from escriba.topology import FunctionSpec


class Schedules(Construct):
    """One schedule a function, and one role that may invoke these and nothing else."""

    def __init__(
        self, scope: Construct, construct_id: str, deployment: Deployment, functions: Mapping[FunctionSpec, lambda_.IFunction]
    ) -> None:
        super().__init__(scope, construct_id)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com"))
        arns = [function.function_arn for function in functions.values()]
        role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=arns))
        for spec, function in functions.items():
            scheduler.CfnSchedule(
                self,
                spec.name,
                name=f"{deployment.name}-{spec.name}",
                schedule_expression=f"rate({round(spec.every / 60)} minutes)",
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=function.function_arn,
                    role_arn=role.role_arn,
                    # It comes again by itself; a late run beside the next one would be of no use.
                    retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_retry_attempts=0, maximum_event_age_in_seconds=60),
                ),
            )
