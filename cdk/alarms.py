"""Makes CloudWatch's alarms of those that `escriba.alarms` has as data: names of the topology become names of resources."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from cdk.deployment import Deployment
from cdk.resources import Alarmed
from escriba.alarms import OURS, Alarm, Metric

_MISSING = {"breaching": cloudwatch.TreatMissingData.BREACHING, "notBreaching": cloudwatch.TreatMissingData.NOT_BREACHING}


def make_alarm(
    scope: Construct, alarm: Alarm, deployment: Deployment, alarmed: Alarmed, *, threshold: float | None = None, described: str = ""
) -> cloudwatch.Alarm:
    """The alarm under its own name in the stage; `threshold` instead of its own, and `described` instead of meaning, causes and cure."""
    period = cdk.Duration.seconds(alarm.period)
    sign = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD if alarm.below else cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
    return cloudwatch.Alarm(
        scope,
        alarm.name,
        alarm_name=f"{deployment.name}-{alarm.name}",
        alarm_description=described or f"{alarm.meaning}. Likely: {alarm.causes}. Do: {alarm.todo}.",
        metric=cloudwatch.MathExpression(
            expression=alarm.expression,
            using_metrics={name: _metric(metric, period, deployment, alarmed) for name, metric in alarm.metrics.items()},
            period=period,
            label=alarm.name,
        ),
        threshold=alarm.threshold if threshold is None else threshold,
        comparison_operator=sign,
        evaluation_periods=alarm.periods,
        datapoints_to_alarm=alarm.datapoints,
        treat_missing_data=_MISSING[alarm.missing],
    )


def _metric(metric: Metric, period: cdk.Duration, deployment: Deployment, alarmed: Alarmed) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=deployment.namespace if metric.namespace == OURS else metric.namespace,
        metric_name=metric.name,
        dimensions_map={kind: _physical(kind, name, alarmed) for kind, name in metric.dimensions} or None,
        statistic=metric.statistic,
        period=period,
    )


def _physical(kind: str, name: str, alarmed: Alarmed) -> str:
    match kind:
        case "QueueName":
            return alarmed.queues[name].queue_name
        case "FunctionName":
            return alarmed.functions[name].function_name
        case "TableName":
            return alarmed.ledger.table_name
    raise ValueError(f"alarms look at nothing by {kind}")
