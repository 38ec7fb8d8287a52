"""`make faults`: the fault matrix as a table."""

# ruff: noqa: T201

from __future__ import annotations

import sys
import time

from escriba.alarms import ALARMS
from tests.matrix.faults import FAULTS
from tests.matrix.trace import faults_found, first_red, trace
from tests.matrix.world import MINUTE


def main() -> int:
    """Print a row a fault; 1 when anything is wrong."""
    bad = 0
    for fault in FAULTS:
        began = time.monotonic()
        seen = trace(fault.name)
        wrong = faults_found(seen)
        red = [(after, alarm.name) for alarm in ALARMS if (after := first_red(alarm, seen)) is not None]
        shown = ", ".join(f"{name} {after / MINUTE:.0f} min" for after, name in sorted(red)) or "none"
        ends = ", ".join(f"{count} {state}" for state, count in sorted(seen.ends.items()))
        print(
            f"{'BAD ' if wrong else 'ok  '}{fault.name}: red: {shown}; {ends}; redriven {seen.redriven}; most reads {seen.reads}; "
            f"{time.monotonic() - began:.1f} s"
        )
        for sentence in wrong:
            print(f"      {sentence}")
        bad += bool(wrong)
    print(f"{len(FAULTS) - bad} of {len(FAULTS)} faults as they should be")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
