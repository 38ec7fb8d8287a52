"""The evaluator keeps CloudWatch's rules: sliding windows, M of N, missing data, and the metric math that the alarms use."""

from __future__ import annotations

import json

import pytest

from escriba.alarms import OURS, Alarm, Metric
from escriba.alarms.kinds import Missing
from escriba.local.alarm_evaluator import changes, datapoint, is_red
from escriba.local.metrics import MetricStore

KEY = (OURS, "Things", ())


def alarm(
    expression: str = "things", *, periods: int = 1, datapoints: int = 1, missing: Missing = "notBreaching", below: bool = False
) -> Alarm:
    return Alarm(
        name="a",
        metrics={"things": Metric("Things", "Sum"), "others": Metric("Others", "Maximum")},
        expression=expression,
        threshold=4,
        period=300,
        meaning="",
        causes="",
        todo="",
        faults=(),
        below=below,
        periods=periods,
        datapoints=datapoints,
        missing=missing,
    )


def store(**series: dict[int, float]) -> MetricStore:
    """Values by minute."""
    made = MetricStore()
    for name, values in series.items():
        for minute, value in values.items():
            made.add(OURS, name, value, minute * 60)
    return made


def test_windows_slide_by_the_minute() -> None:
    """Five in minute 10 are seen from minute 11 to the end of minute 15, by windows that end then."""
    found = [(change.red, change.at / 60) for change in changes(alarm(), store(Things={10: 5}), 0, 3600)]
    assert found == [(True, 11), (False, 16)]


def test_a_sum_adds_up_over_its_window_and_a_threshold_must_be_passed() -> None:
    """Three and one are four, which is not more than four; with another they are."""
    assert not is_red(alarm(), store(Things={0: 3, 1: 1}), 300)
    assert is_red(alarm(), store(Things={0: 3, 1: 1, 4: 1}), 300)


def test_m_of_n() -> None:
    """Two bad windows of three, in any order; one is not enough."""
    two_of_three = alarm(periods=3, datapoints=2)
    assert is_red(two_of_three, store(Things={0: 9, 5: 0, 10: 9}), 900)
    assert not is_red(two_of_three, store(Things={0: 9, 5: 0, 10: 0}), 900)


@pytest.mark.parametrize(("missing", "red"), [("breaching", True), ("notBreaching", False)])
def test_missing_data_is_what_the_alarm_says(missing: Missing, *, red: bool) -> None:
    """A window without any observation, even where the expression would fill it: there is no series to fill."""
    assert is_red(alarm("FILL(things, 0)", missing=missing), store(), 300) is red
    assert is_red(alarm("FILL(things, 0)", missing=missing, below=True), store(Things={99: 1}), 300) is red


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("things + others * 2", 16.0),
        ("things / (others - 5)", None),
        ("FILL(absent, 7) + things", 13.0),
        ("absent + things", None),
        ("IF(things > 5, 100 * others / things, 0)", 100 * 5 / 6),
        ("IF(things < 5, 1, 0)", 0.0),
        ("MAX([things, others, FILL(absent, 2)])", 6.0),
        ("MAX([things, absent])", 6.0),
    ],
)
def test_metric_math(expression: str, value: float | None) -> None:
    """Of sums (6), maxima (5) and a series that is absent."""
    made = alarm(expression)
    made.metrics["absent"] = Metric("Absent", "Sum")
    assert datapoint(made, store(Things={0: 4, 1: 2}, Others={0: 5, 3: 1}), 0, 300) == value


def test_math_that_is_not_known_is_not_guessed() -> None:
    """A function that no alarm uses is refused by name."""
    with pytest.raises(ValueError, match="ANOMALY_DETECTION_BAND"):
        datapoint(alarm("ANOMALY_DETECTION_BAND(things)"), store(Things={0: 1}), 0, 300)


def test_a_metric_with_dimensions_is_another_metric() -> None:
    """As in CloudWatch, which has no series that sums over them: an alarm on the bare name sees nothing."""
    made = MetricStore()
    line = {
        "_aws": {
            "Timestamp": 60_000,
            "CloudWatchMetrics": [{"Namespace": OURS, "Dimensions": [["route"]], "Metrics": [{"Name": "Things"}]}],
        },
        "route": "ocr",
        "Things": [9.0],
    }
    made.add_emf([json.dumps(line, separators=(",", ":")), '{"level":"INFO"}'])
    assert made.keys() == {(OURS, "Things", (("route", "ocr"),))}
    assert not is_red(alarm(), made, 300)
