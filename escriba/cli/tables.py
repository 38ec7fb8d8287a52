"""Tables of figures that stay readable at 80 columns, on a terminal and piped."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from escriba.evaluation.statistics import Estimate
from escriba.evaluation.summary import Metric

_PIPED_WIDTH = 100


def figure(estimate: Estimate, metric: Metric) -> str:
    """A mean with its interval, scaled for print: `16.0 (13.1, 19.2)`."""
    mean = f"{metric.scale * estimate.mean:.{metric.digits}f}"
    if estimate.low is None or estimate.high is None or not metric.interval:
        return mean
    return f"{mean} ({metric.scale * estimate.low:.{metric.digits}f}, {metric.scale * estimate.high:.{metric.digits}f})"


def percent(share: Estimate) -> str:
    """A share (0 to 1) with its interval in per cent: `97.2 (94.0, 99.1)`."""
    if share.low is None or share.high is None:
        return f"{100 * share.mean:.1f}"
    return f"{100 * share.mean:.1f} ({100 * share.low:.1f}, {100 * share.high:.1f})"


def print_rows(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], totals: Sequence[Sequence[str]]) -> None:
    """One table, its totals set apart: the first column folds, the others stand right."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left", no_wrap=bool(place), overflow="fold")
    for row in rows:
        table.add_row(*row)
    table.add_section()
    for row in totals:
        table.add_row(*row)
    console.print(title, highlight=False, style="bold")
    console.print(table)
