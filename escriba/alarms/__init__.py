"""The alarms as data: metric, threshold, missing data, the faults each is for, and what to do; read by the stacks, the evaluator and the docs.

Those by which the GPU service grows and shrinks, which nobody is to hear of, stand apart in `scaling.py`.
"""

from __future__ import annotations

from escriba.alarms.gpu import GPU
from escriba.alarms.informing import INFORMING
from escriba.alarms.kinds import OURS, TABLE, Alarm, Metric
from escriba.alarms.stopped import STOPPED
from escriba.alarms.vision import VISION

ALARMS: tuple[Alarm, ...] = STOPPED + INFORMING + VISION + GPU

__all__ = ["ALARMS", "OURS", "TABLE", "Alarm", "Metric"]
