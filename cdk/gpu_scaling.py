"""Lets the tasks of the GPU service come and go: the step policies of `escriba.alarms.scaling`, each behind its alarm."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk.alarms import make_alarm
from cdk.deployment import Deployment
from cdk.resources import Alarmed
from escriba.alarms.scaling import Scaling, Step, scalings
from escriba.topology import ServiceSpec


class GpuScaling(Construct):
    """From none to `max_tasks` and back, by what waits."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        alarmed: Alarmed,
        *,
        service: str,
        cluster: str,
        spec: ServiceSpec,
    ) -> None:
        super().__init__(scope, construct_id)
        self._target = scaling.ScalableTarget(
            self,
            "Tasks",
            service_namespace=scaling.ServiceNamespace.ECS,
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=f"service/{cluster}/{service}",
            min_capacity=0,
            max_capacity=spec.max_tasks,
            role=self._role(),
        )
        for policy in scalings(spec):
            said = f"{policy.alarm.meaning}; red is no trouble, it is how the service scales"
            alarm = make_alarm(self, policy.alarm, deployment, alarmed, described=said)
            alarm.add_alarm_action(actions.ApplicationScalingAction(self._action(policy)))

    def _action(self, policy: Scaling) -> scaling.StepScalingAction:
        action = scaling.StepScalingAction(
            self,
            f"{policy.alarm.name}-steps",
            scaling_target=self._target,
            policy_name=policy.alarm.name,
            adjustment_type=getattr(
                scaling.AdjustmentType, {"ChangeInCapacity": "CHANGE_IN_CAPACITY", "ExactCapacity": "EXACT_CAPACITY"}[policy.how]
            ),
            cooldown=cdk.Duration.seconds(policy.cooldown),
            metric_aggregation_type=scaling.MetricAggregationType.MAXIMUM,
        )
        if policy.alarm.below:
            action.add_adjustment(adjustment=policy.steps[0].tasks, upper_bound=policy.steps[0].beyond)
            return action
        for step, beyond in zip(policy.steps, _ends(policy.steps), strict=True):
            action.add_adjustment(adjustment=step.tasks, lower_bound=step.beyond, upper_bound=beyond)
        return action

    def _role(self) -> iam.IRole:
        """The one that AWS makes in every account whose services on ECS scale."""
        arn = cdk.Stack.of(self).format_arn(
            service="iam",
            region="",
            resource="role/aws-service-role/ecs.application-autoscaling.amazonaws.com",
            resource_name="AWSServiceRoleForApplicationAutoScaling_ECSService",
        )
        return iam.Role.from_role_arn(self, "Role", arn)


def _ends(steps: Sequence[Step]) -> list[float | None]:
    """Where each step ends: where the next begins; the last one nowhere."""
    return [*(step.beyond for step in steps[1:]), None]
