"""Evaluates the alarms as CloudWatch does: once a minute, over sliding windows, M of N datapoints, missing data as each alarm says.

Of metric math it knows what `escriba.alarms` uses: + - * /, comparisons (1 or 0), IF, FILL with a number, and MAX of a list. A datapoint whose
expression needs one that is missing, outside FILL, is missing itself; so is one that divides by zero.
Source: "Using Amazon CloudWatch alarms" and "Using math expressions with CloudWatch metrics" in the CloudWatch user guide.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from escriba.alarms import Alarm
from escriba.local.metrics import MINUTE, MetricStore

_OPERATORS: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Change:
    """An alarm turned red or green at `at`, seconds since 1970."""

    alarm: str
    red: bool
    at: float


def changes(alarm: Alarm, store: MetricStore, since: float, until: float) -> Iterator[Change]:
    """Every change of state between two times; green at first."""
    red = False
    for minute in range(int(since // MINUTE), int(until // MINUTE) + 1):
        now = is_red(alarm, store, minute * MINUTE)
        if now != red:
            red = now
            yield Change(alarm.name, red, minute * MINUTE)


def is_red(alarm: Alarm, store: MetricStore, now: float) -> bool:
    """The alarm's state at a time, from the windows that ended by then."""
    breaching = 0
    for n in range(alarm.periods):
        value = datapoint(alarm, store, now - (n + 1) * alarm.period, now - n * alarm.period)
        if value is None:
            breaching += alarm.missing == "breaching"
        else:
            breaching += value < alarm.threshold if alarm.below else value > alarm.threshold
    return breaching >= alarm.datapoints


def datapoint(alarm: Alarm, store: MetricStore, since: float, until: float) -> float | None:
    """The expression over one window; None is missing data."""
    values = {
        name: store.statistic((metric.namespace, metric.name, metric.dimensions), metric.statistic, since, until)
        for name, metric in alarm.metrics.items()
    }
    if all(value is None for value in values.values()):
        return None  # with no series at all there is nothing that FILL could fill
    return _value(_parsed(alarm.expression), values)


@lru_cache(maxsize=256)
def _parsed(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right]):
            return _both(sign, _value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id="FILL"), args=[series, ast.Constant(value=int() | float() as filling)]):
            value = _value(series, values)
            return float(filling) if value is None else value
        case ast.Call(func=ast.Name(id="IF"), args=[condition, yes, no]):
            held = _value(condition, values)
            return None if held is None else _value(yes if held else no, values)
        case ast.Call(func=ast.Name(id="MAX"), args=[ast.List(elts=parts)]):
            found = [value for part in parts if (value := _value(part, values)) is not None]
            return max(found, default=None)
    raise ValueError(f"metric math that is not known here: {ast.unparse(node)}")


def _both(sign: ast.AST, left: float | None, right: float | None) -> float | None:
    if left is None or right is None or (isinstance(sign, ast.Div) and not right):
        return None
    return float(_OPERATORS[type(sign)](left, right))
