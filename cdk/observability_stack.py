"""The Observability stack: the alarms of `escriba.alarms`, who hears of them, and what an operator looks at."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct

from cdk.alarms import make_alarm
from cdk.dashboard import dashboard
from cdk.deployment import Deployment
from cdk.resources import Alarmed
from cdk.topics import Topics
from escriba.alarms import ALARMS, Alarm
from escriba.alarms.cost import COST, cost_per_hour

_HOURS_A_MONTH = 730
_TIMES_THE_SHARE = 3  # work comes in bursts


class ObservabilityStack(cdk.Stack):
    """Alarms, the composite that wakes somebody, topics, dashboard."""

    def __init__(self, scope: Construct, deployment: Deployment, alarmed: Alarmed, **properties: Any) -> None:
        super().__init__(scope, "Observability", stack_name=f"{deployment.name}-observability", **properties)
        self._deployment, self._alarmed = deployment, alarmed
        topics = Topics(self, "Topics", deployment, alarmed.key)
        made = {alarm.name: self._alarm(alarm) for alarm in ALARMS}
        for alarm in made.values():
            alarm.add_alarm_action(actions.SnsAction(topics.notices))
            alarm.add_ok_action(actions.SnsAction(topics.notices))
        stopped = cloudwatch.CompositeAlarm(
            self,
            "Stopped",
            composite_alarm_name=f"{deployment.name}-pipeline-stopped",
            alarm_description="Documents no longer come through, or nobody would notice: see the alarm that is red, and docs/operations.md",
            alarm_rule=cloudwatch.AlarmRule.any_of(
                *(cloudwatch.AlarmRule.from_alarm(made[alarm.name], cloudwatch.AlarmState.ALARM) for alarm in ALARMS if alarm.pages)
            ),
        )
        stopped.add_alarm_action(actions.SnsAction(topics.pager))
        stopped.add_ok_action(actions.SnsAction(topics.pager))
        dashboard(self, deployment, alarmed, stopped, list(made.values()))

    def _alarm(self, alarm: Alarm) -> cloudwatch.Alarm:
        if alarm.name != COST:
            return make_alarm(self, alarm, self._deployment, self._alarmed)
        if self._deployment.gpu:
            alarm = cost_per_hour(self._deployment.gpu.usd_per_hour)
        budget = self._deployment.monthly_budget_usd
        threshold = _TIMES_THE_SHARE * budget / _HOURS_A_MONTH if budget else None
        return make_alarm(self, alarm, self._deployment, self._alarmed, threshold=threshold)
