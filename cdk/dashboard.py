"""What an operator looks at, the most urgent on top: is anything red, does it move, how much waits, what does it cost."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from cdk.deployment import Deployment
from cdk.resources import Alarmed

_PERIOD = cdk.Duration.minutes(5)


def dashboard(
    scope: Construct, deployment: Deployment, alarmed: Alarmed, stopped: cloudwatch.IAlarm, alarms: Sequence[cloudwatch.IAlarm]
) -> cloudwatch.Dashboard:
    """The dashboard of a stage."""

    def ours(name: str, statistic: str = "Sum") -> cloudwatch.Metric:
        return cloudwatch.Metric(namespace=deployment.namespace, metric_name=name, statistic=statistic, period=_PERIOD, label=name)

    def graph(title: str, *left: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(title=title, left=list(left), width=12, height=6)

    sources = {name: queue for name, queue in alarmed.queues.items() if not name.endswith("-dlq")}
    letters = {name: queue for name, queue in alarmed.queues.items() if name.endswith("-dlq")}
    functions = alarmed.functions.items()
    return cloudwatch.Dashboard(
        scope,
        "Dashboard",
        dashboard_name=deployment.name,
        widgets=[
            [cloudwatch.AlarmStatusWidget(title="Is anything red?", alarms=[stopped, *alarms], width=24, height=4)],
            [
                graph("Does it move?", *(ours(name) for name in ("DocumentsCompleted", "PagesFinished"))),
                graph("How much waits?", ours("PagesWaiting", "Maximum"), ours("DocumentsInFlight", "Maximum")),
            ],
            [
                graph(
                    "Seconds the oldest message waits",
                    *(q.metric_approximate_age_of_oldest_message(label=n, period=_PERIOD) for n, q in sources.items()),
                ),
                graph(
                    "Dead letters not yet quarantined",
                    *(q.metric_approximate_number_of_messages_visible(label=n, period=_PERIOD) for n, q in letters.items()),
                ),
            ],
            [
                graph(
                    "What went wrong",
                    *(ours(name) for name in ("PagesQuarantined", "PagesDegraded", "DocumentsRejected", "MessagesFailed", "WorkResent")),
                ),
                graph("The canary's seconds", ours("CanarySeconds", "Maximum")),
            ],
            [
                graph("Errors and throttles", *(m for n, f in functions for m in _errors(n, f))),
                graph("Seconds of work", *(f.metric_duration(label=n, statistic="Sum", period=_PERIOD) for n, f in functions)),
            ],
        ],
    )


def _errors(name: str, function: object) -> list[cloudwatch.IMetric]:
    return [
        function.metric_errors(label=f"{name} errors", period=_PERIOD),  # type: ignore[attr-defined]
        function.metric_throttles(label=f"{name} throttles", period=_PERIOD),  # type: ignore[attr-defined]
    ]
