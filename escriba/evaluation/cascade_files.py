"""Writes what the cascade's measurement found: each page and figure as JSON, the curves as CSV and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from escriba.evaluation.cascade import Summary, Trial
from escriba.evaluation.cascade_picture import curves_svg
from escriba.evaluation.split import Half


def write_cascade(trials: Sequence[Trial], summaries: Mapping[Half, Summary], folder: Path) -> None:
    """`cascade.json`, `cascade.csv` and `cascade.svg` in a folder. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {"schema_version": 1, "halves": msgspec.to_builtins(summaries), "pages": msgspec.to_builtins(trials)}
    (folder / "cascade.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    with (folder / "cascade.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("half", "order", "pages", "pixels", "cer", "f1"))
        for half, found in summaries.items():
            for order, points in found.curves.items():
                rows.writerows((half, order, p.pages, f"{p.pixels:.5f}", f"{p.cer:.5f}", f"{p.f1:.5f}") for p in points)
    (folder / "cascade.svg").write_text(curves_svg(summaries), "utf-8")
