"""The cascade's measurement: curves and areas of pages whose best order is known, and the fit."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from escriba.document import BoundingBox, Word
from escriba.evaluation.calibration import Reading, calibration
from escriba.evaluation.cascade import Trial, area, at_threshold, best, captured, curve, expected, summary, with_interval
from escriba.evaluation.cascade_files import write_cascade
from escriba.evaluation.cascade_fit import fit


def trial(n: int, cer: float, *, expected: float | None = None, pixels: int = 100, after: float = 0.0) -> Trial:
    """A page whose word F1 is what its CER leaves."""
    return Trial(
        name=f"page{n}.png",
        document=f"page{n}",
        kind="letter" if n % 2 else "form",
        half="reporting",
        expected=cer if expected is None else expected,
        features={"unsure": cer},
        pixels=pixels,
        cer=cer,
        f1=1 - cer,
        cer_after=after,
        f1_after=1 - after,
    )


ERRORS = (0.5, 0.02, 0.3, 0.0, 0.1)


def test_the_curve_goes_from_the_cpu_reading_to_the_models() -> None:
    """The worst page first, at its share of the pixels."""
    points = curve([trial(0, 0.1, pixels=300), trial(1, 0.5, pixels=100)], expected)
    assert [(p.pages, p.pixels, round(p.cer, 6), round(p.f1, 6)) for p in points] == [(0, 0, 0.3, 0.7), (1, 0.25, 0.05, 0.95), (2, 1, 0, 1)]
    assert area(points, "cer") == pytest.approx(0.25 * 0.175 + 0.75 * 0.025)


def test_the_oracles_order_is_all_of_the_way_and_its_reverse_is_as_far_behind_chance() -> None:
    """Pages of the same size, sent by their true errors; then by the opposite."""
    trials = [trial(n, cer) for n, cer in enumerate(ERRORS)]
    backwards = [replace(t, expected=1 - t.cer) for t in trials]
    for measure in ("cer", "f1"):
        assert captured(trials, measure) == pytest.approx(1)
        assert captured(backwards, measure) == pytest.approx(-1)


def test_random_order_is_the_zero_of_the_scale() -> None:
    """The mean over every order that five pages of different sizes can have."""
    trials = [trial(n, cer, pixels=50 + 37 * n) for n, cer in enumerate(ERRORS)]
    found = [
        captured([replace(t, expected=float(place)) for t, place in zip(trials, order, strict=True)], "cer")
        for order in itertools.permutations(range(len(trials)))
    ]
    assert np.mean(found) == pytest.approx(0, abs=1e-9)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6), st.floats(0, 1)), min_size=2, max_size=12))
def test_no_order_beats_the_oracle(pages: list[tuple[float, float, int, float]]) -> None:
    """Also where pages differ in size and some get worse."""
    trials = [trial(n, cer, expected=guess, pixels=size, after=after) for n, (cer, guess, size, after) in enumerate(pages)]
    for measure in ("cer", "f1"):
        ours, oracle = (area(curve(trials, order), measure) for order in (expected, best(measure)))
        assert (ours - oracle if measure == "cer" else oracle - ours) >= -1e-9


def test_where_no_order_matters_none_is_better() -> None:
    """Pages without errors, or all of the same: no division by nothing."""
    assert captured([trial(n, 0.0) for n in range(4)], "cer") == 1
    assert captured([trial(n, 0.2, expected=n / 10) for n in range(4)], "f1") == 1


def test_the_interval_holds_the_figure_and_is_the_same_twice() -> None:
    """It is drawn over documents; one document has none."""
    trials = [replace(trial(n, cer), document=f"document{n // 2}", expected=(7 * n % 5) / 10) for n, cer in enumerate(ERRORS * 4)]
    found = with_interval(trials, lambda part: captured(part, "cer"))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert found == with_interval(trials, lambda part: captured(part, "cer"))
    assert with_interval(trials[:2], lambda part: captured(part, "cer")).low is None


def test_a_threshold_stops_the_curve() -> None:
    """Two of five pages reach it; they hold most of the gain."""
    step = at_threshold([trial(n, cer) for n, cer in enumerate(ERRORS)], 0.3)
    assert (step.pages, step.pixels) == (2, 0.4)
    assert step.gained == pytest.approx(0.8 / 0.92)
    assert step.cer == pytest.approx(0.12 / 5)


def test_files_hold_the_pages_the_curves_and_a_picture(tmp_path: Path) -> None:
    """JSON, CSV, and an SVG with a panel for each half and measure and a curve for each order."""
    trials = [trial(n, cer) for n, cer in enumerate(ERRORS)]
    write_cascade(trials, {"reporting": summary(trials, 0.3)}, tmp_path)
    report = json.loads((tmp_path / "cascade.json").read_text())
    assert len(report["pages"]) == 5
    assert report["halves"]["reporting"]["stop"]["pages"] == 2
    assert {kind: part["pages"] for kind, part in report["halves"]["reporting"]["kinds"].items()} == {"form": 3, "letter": 2}
    rows = (tmp_path / "cascade.csv").read_text().splitlines()
    assert rows[0] == "half,order,pages,pixels,cer,f1"
    assert {row.split(",")[1] for row in rows[1:]} == {"cascade", "oracle cer", "oracle f1", "random"}
    picture = ET.fromstring((tmp_path / "cascade.svg").read_text())  # noqa: S314  (our own)
    space = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f".//{space}polyline")) == 6
    assert len(picture.findall(f".//{space}circle")) == 2


# --- the fit ------------------------------------------------------------------------------------------------------


def test_the_fit_finds_what_made_the_errors_and_never_a_negative_coefficient() -> None:
    """Sixty pages whose errors are 0.5 a + 0.2 b - 0.03 c, with some noise: more evidence may never mean fewer errors, so that c gets 0."""
    chance = np.random.default_rng(5)
    rows = [{"a": a, "b": b, "c": c} for a, b, c in chance.random((60, 3))]
    errors = [0.5 * row["a"] + 0.2 * row["b"] - 0.03 * row["c"] + float(chance.normal(0, 0.01)) for row in rows]
    found = fit(rows, errors, [str(n) for n in range(60)])
    assert found.coefficients["a"] == pytest.approx(0.5, abs=0.05)
    assert found.coefficients["b"] == pytest.approx(0.2, abs=0.05)
    assert found.coefficients["c"] == 0
    assert found.fitted <= found.left_out < 0.03


def test_pages_of_one_document_are_left_out_together() -> None:
    """A feature that marks one document only foretells nothing of it."""
    rows = [{"a": 1.0}] * 4 + [{"a": 0.0}] * 4
    together = fit(rows, [0.5] * 4 + [0.0] * 4, ["one"] * 4 + ["two"] * 4)
    apart = fit(rows, [0.5] * 4 + [0.0] * 4, [str(n) for n in range(8)])
    assert together.left_out > apart.left_out


def test_confidences_are_worth_what_the_truth_says() -> None:
    """By engine and step; each true word is found once, case and punctuation apart."""
    box = BoundingBox(0, 0, 1, 1)
    words = [
        Word(text, box, confidence) for text, confidence in (("Rope", 0.96), ("rope,", 0.97), ("anch0r", 0.6), ("--", 0.1), ("quay", 0.6))
    ]
    found = calibration([Reading("rapidocr", words, "Rope anchor quay"), Reading("tesseract", words[:1], "rope")])
    assert [(step.engine, step.low, step.words, step.wrong) for step in found] == [
        ("rapidocr", 0.5, 2, 0.6),
        ("rapidocr", 0.95, 2, 0.5),
        ("tesseract", 0.95, 1, 0),
    ]
