"""The Observability stack: the alarms of `escriba.alarms`, who hears of them, and what an operator looks at."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct

from cdk.dashboard import dashboard
from cdk.deployment import Deployment
from cdk.resources import Alarmed
from cdk.topics import Topics
from escriba.alarms import ALARMS, OURS, Alarm, Metric

_HOURS_A_MONTH = 730
_TIMES_THE_SHARE = 3  # work comes in bursts
_MISSING = {"breaching": cloudwatch.TreatMissingData.BREACHING, "notBreaching": cloudwatch.TreatMissingData.NOT_BREACHING}


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
        period = cdk.Duration.seconds(alarm.period)
        sign = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD if alarm.below else cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
        return cloudwatch.Alarm(
            self,
            alarm.name,
            alarm_name=f"{self._deployment.name}-{alarm.name}",
            alarm_description=f"{alarm.meaning}. Likely: {alarm.causes}. Do: {alarm.todo}.",
            metric=cloudwatch.MathExpression(
                expression=alarm.expression,
                using_metrics={name: self._metric(metric, period) for name, metric in alarm.metrics.items()},
                period=period,
                label=alarm.name,
            ),
            threshold=self._threshold(alarm),
            comparison_operator=sign,
            evaluation_periods=alarm.periods,
            datapoints_to_alarm=alarm.datapoints,
            treat_missing_data=_MISSING[alarm.missing],
        )

    def _threshold(self, alarm: Alarm) -> float:
        budget = self._deployment.monthly_budget_usd
        return _TIMES_THE_SHARE * budget / _HOURS_A_MONTH if alarm.name == "cost-per-hour" and budget else alarm.threshold

    def _metric(self, metric: Metric, period: cdk.Duration) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=self._deployment.namespace if metric.namespace == OURS else metric.namespace,
            metric_name=metric.name,
            dimensions_map={kind: self._physical(kind, name) for kind, name in metric.dimensions} or None,
            statistic=metric.statistic,
            period=period,
        )

    def _physical(self, kind: str, name: str) -> str:
        match kind:
            case "QueueName":
                return self._alarmed.queues[name].queue_name
            case "FunctionName":
                return self._alarmed.functions[name].function_name
            case "TableName":
                return self._alarmed.ledger.table_name
        raise ValueError(f"alarms look at nothing by {kind}")
