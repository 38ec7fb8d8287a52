"""The Observability template: every alarm as its data says, on metrics that somebody emits, heard by somebody who can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdk.app import NO_BUNDLING, build
from cdk.gpu_settings import CARDS, PRICES, SIZES
from escriba.alarms import ALARMS, OURS
from escriba.alarms.cost import COST, cost_per_hour
from escriba.topology import TOPOLOGY
from tests.infra.conftest import PROD, Synthesise, Template, of_type

OWNED_BY_AWS = {
    "AWS/SQS": {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible", "NumberOfMessagesDeleted"},
    "AWS/Lambda": {"Duration", "Errors", "Throttles"},
    "AWS/DynamoDB": {"ReadThrottleEvents", "WriteThrottleEvents"},
}
"""Metrics that these services publish of themselves, by their user guides."""


def alarms(watch: Template) -> dict[str, dict[str, Any]]:
    return {alarm["AlarmName"].removeprefix("escriba-prod-"): alarm for alarm in of_type(watch, "CloudWatch::Alarm").values()}


def test_every_alarm_is_as_its_data_says(watch: Template) -> None:
    """Expression, threshold, direction, windows and missing data; no alarm more."""
    made = alarms(watch)
    assert made.keys() == {alarm.name for alarm in ALARMS}
    # Its GPU service may rent g6.2xlarge, g6e.2xlarge and g5.2xlarge: the dearest is what a card is taken to cost.
    for alarm in (cost_per_hour(2.242) if alarm.name == COST else alarm for alarm in ALARMS):
        properties = made[alarm.name]
        [result] = [metric for metric in properties["Metrics"] if metric.get("ReturnData", True)]
        assert result["Expression"] == alarm.expression
        assert (properties["Threshold"], properties["EvaluationPeriods"]) == (alarm.threshold, alarm.periods)
        assert properties["ComparisonOperator"] == ("LessThanThreshold" if alarm.below else "GreaterThanThreshold")
        assert (properties["TreatMissingData"], properties["DatapointsToAlarm"]) == (alarm.missing, alarm.datapoints)
        series = {metric["Id"]: metric["MetricStat"] for metric in properties["Metrics"] if "MetricStat" in metric}
        assert series.keys() == alarm.metrics.keys()
        for name, stat in series.items():
            assert (stat["Period"], stat["Stat"]) == (alarm.period, alarm.metrics[name].statistic)
            assert stat["Metric"]["MetricName"] == alarm.metrics[name].name
        assert len(properties["Metrics"]) <= 10  # CloudWatch takes no more
        assert len(properties["AlarmDescription"]) <= 1024


def test_every_alarmed_metric_is_somebodys(watch: Template, prod: Template) -> None:
    """AWS's of a resource that the Core template makes (exported by it), or ours in the namespace that its functions are told."""
    told = {function["Environment"]["Variables"]["ESCRIBA_METRIC_NAMESPACE"] for function in of_type(prod, "Lambda::Function").values()}
    assert told == {f"{OURS}/prod"}
    exports = {output["Export"]["Name"]: output["Value"] for output in prod["Outputs"].values() if "Export" in output}
    kinds = {"QueueName": "AWS::SQS::Queue", "FunctionName": "AWS::Lambda::Function", "TableName": "AWS::DynamoDB::Table"}
    for name, alarm in alarms(watch).items():
        for metric in (part["MetricStat"]["Metric"] for part in alarm["Metrics"] if "MetricStat" in part):
            if metric["Namespace"] in told:
                assert "Dimensions" not in metric, name
                continue
            assert metric["MetricName"] in OWNED_BY_AWS[metric["Namespace"]], name
            [dimension] = metric["Dimensions"]
            value = exports[dimension["Value"]["Fn::ImportValue"]]
            logical = value.get("Ref") or value["Fn::GetAtt"][0]
            assert prod["Resources"][logical]["Type"] == kinds[dimension["Name"]], name


def test_the_alarms_of_queues_and_functions_look_at_the_right_ones(watch: Template, prod: Template) -> None:
    """`stalled-pages` looks at the pages queue, and so on: names travel from the topology to the resource."""
    exports = {output["Export"]["Name"]: output["Value"] for output in prod["Outputs"].values() if "Export" in output}
    for queue in TOPOLOGY.queues:
        for part in alarms(watch)[f"stalled-{queue.name}"]["Metrics"]:
            if "MetricStat" in part:
                value = exports[part["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Fn::ImportValue"]]
                assert prod["Resources"][value["Fn::GetAtt"][0]]["Properties"]["QueueName"] == f"escriba-prod--{queue.name}"


def test_every_action_reaches_a_topic_with_a_subscription(watch: Template) -> None:
    """Alarms inform, the composite of those that page wakes somebody; each topic has a subscriber."""
    subscribed = {s["TopicArn"]["Ref"] for s in of_type(watch, "SNS::Subscription").values() if s["Endpoint"] == "ops@example.org"}
    assert subscribed == of_type(watch, "SNS::Topic").keys()
    assert len(subscribed) == 2
    [composite] = of_type(watch, "CloudWatch::CompositeAlarm").values()
    for alarm in (*of_type(watch, "CloudWatch::Alarm").values(), composite):
        for actions in ("AlarmActions", "OKActions"):
            [action] = alarm[actions]
            assert action["Ref"] in subscribed
            assert ("pager" in action["Ref"]) is (alarm is composite)
    rule = json.dumps(composite["AlarmRule"])
    logical = {alarm["AlarmName"].removeprefix("escriba-prod-"): name for name, alarm in of_type(watch, "CloudWatch::Alarm").items()}
    assert {name for name in logical if logical[name] in rule} == {alarm.name for alarm in ALARMS if alarm.pages}


def test_cloudwatch_may_publish_to_topic_and_key(watch: Template, prod: Template) -> None:
    """The statements without which an alarm goes out into nothing, and none for other accounts."""
    for policy in of_type(watch, "SNS::TopicPolicy").values():
        [allowed] = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
        assert (allowed["Principal"], allowed["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
        assert allowed["Resource"] == policy["Topics"][0]
        assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        denied = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    [key] = of_type(prod, "KMS::Key").values()
    [statement] = [s for s in key["KeyPolicy"]["Statement"] if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert all("KmsMasterKeyId" in topic for topic in of_type(watch, "SNS::Topic").values())


def test_a_budget_sets_the_cost_alarm(tmp_path: Any) -> None:
    """Three times its hourly share; without a GPU service it counts no cards."""
    build({**NO_BUNDLING, **PROD, "monthly_budget_usd": 730, "gpu": {}}, str(tmp_path)).synth()
    budgeted = alarms(json.loads((tmp_path / "Observability.template.json").read_text()))[COST]
    assert budgeted["Threshold"] == 3
    [plain] = [alarm for alarm in ALARMS if alarm.name == COST]
    [result] = [metric for metric in budgeted["Metrics"] if metric.get("ReturnData", True)]
    assert result["Expression"] == plain.expression == cost_per_hour().expression
    assert "GpuTasksRunning" not in json.dumps(budgeted["Metrics"])


def test_what_may_be_rented_has_a_price() -> None:
    """Each kind that `instance_types` takes, and no other; a larger one costs more."""
    assert PRICES.keys() == {f"{family}.{size}" for family in CARDS for size in SIZES}
    for family in CARDS:
        prices = [PRICES[f"{family}.{size}"] for size in SIZES]
        assert prices == sorted(set(prices))


def test_a_stage_that_nobody_hears_has_no_alarms(synthesise: Synthesise, tmp_path: Any) -> None:
    """Only dev may go without an address, and then it has no stack that would call nobody."""
    build({**NO_BUNDLING, "stage": "dev"}, str(tmp_path)).synth()
    assert not (tmp_path / "Observability.template.json").exists()
    with pytest.raises(ValueError, match="somebody must hear them"):
        synthesise(stage="prod")


def test_cloudformation_knows_every_property_of_it(watch: Template) -> None:
    """cfn-lint: no error."""
    from cfnlint.api import lint_all

    found = {(match.rule.id, match.message) for match in lint_all(json.dumps(watch))}
    assert {(rule, message) for rule, message in found if not rule.startswith("I") and rule != "W3005"} == set()


def test_the_dashboard_shows_the_red_first(watch: Template) -> None:
    """On top the state of every alarm."""
    [dashboard] = of_type(watch, "CloudWatch::Dashboard").values()
    text = json.dumps(dashboard["DashboardBody"])
    assert text.index("Is anything red?") < text.index("Does it move?") < text.index("Seconds of work")
