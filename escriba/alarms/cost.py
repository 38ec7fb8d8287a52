"""The alarm on what an hour costs: the functions, and where a GPU service is deployed the cards that it rents."""

from __future__ import annotations

from escriba.alarms.kinds import FUNCTIONS, Alarm, of_function, ours
from escriba.topology import TOPOLOGY

COST = "cost-per-hour"
USD_PER_GB_SECOND = 0.0000166667  # Lambda on x86 in us-east-1, list price of 2026
_HOUR = 3600
_EVERY = TOPOLOGY.services[0].measured.every
"""Seconds between two counts of the tasks that run; as many of them as an hour has, added up, are hours of cards."""


def cost_per_hour(card_usd: float = 0) -> Alarm:
    """The alarm of a deployment whose GPU service pays so much for the hour of a card; 0: it has none, and the alarm counts functions alone.

    A card is paid for from before its task runs until a little after, and with what ECS asks for renting it: so the sum is a little too low.
    """
    metrics = {short: of_function("Duration", spec.name) for short, spec in FUNCTIONS.items()}
    functions = " + ".join(f"FILL({short}, 0) * {spec.memory / 1024:g}" for short, spec in FUNCTIONS.items())
    cost = f"({functions}) / 1000 * {USD_PER_GB_SECOND:.10f}"
    if card_usd:
        metrics["cards"] = ours("GpuTasksRunning")
        cost += f" + FILL(cards, 0) * {_EVERY:g} / {_HOUR} * {card_usd:g}"
    return Alarm(
        name=COST,
        metrics=metrics,
        expression=cost,
        threshold=10,
        period=_HOUR,
        unit="USD",
        meaning="the functions, and the GPU service's cards if there is one, have cost more in an hour than is planned for (10 USD, or three times the "
        "hourly share of monthly_budget_usd)",
        causes="a large import; slower pages; the same work done again",
        todo="escriba status says what waits; a lower max_concurrency of recognise_pages spreads it, a disabled mapping holds it; cards are stopped as "
        "docs/operations.md says",
        faults=("expensive-pages",),
    )
