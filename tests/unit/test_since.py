"""The times that `escriba redrive --since` takes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from escriba.cli.redrive import _moment
from escriba.errors import ConfigurationError

NOW = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"), [("30m", 1800), ("2h", 7200), ("3d", 259_200), ("2026-11-24T13:00:00+00:00", 3600), ("2026-11-24T13:00Z", 3600)]
)
def test_times_and_spans(text: str, ago: float) -> None:
    """How long ago, or when."""
    assert _moment(text, NOW) == NOW.timestamp() - ago


def test_days_are_this_machines_own() -> None:
    """Without a zone; and nothing is the beginning of time."""
    assert _moment("2026-11-24", NOW) == datetime(2026, 11, 24).timestamp()  # noqa: DTZ001
    assert _moment("", NOW) == 0


@pytest.mark.parametrize("text", ["yesterday", "2w", "-1h", "24.11.2026"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With what can be written."""
    with pytest.raises(ConfigurationError, match="is no time; write 2026-11-24"):
        _moment(text, NOW)
