"""Draws the cascade's curves as one SVG file that any browser shows, with nothing to load."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from escriba.evaluation.cascade import MEASURES, Point, Summary
from escriba.evaluation.split import Half

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 460, 340, 56, 50, 18, 46
_STYLES = {"random": ("#8a8a8a", "2 3"), "oracle": ("#2e7d32", "6 3"), "cascade": ("#0b62a4", "")}
_NAMES = {"cer": "CER, % (lower is better)", "f1": "word F1, % (higher is better)"}


def curves_svg(summaries: Mapping[Half, Summary]) -> str:
    """A row of two panels, CER and word F1, for each half: the curve of each order, and a dot where the threshold stops the cascade."""
    width, height = 2 * _WIDTH, len(summaries) * _HEIGHT
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for row, (half, found) in enumerate(summaries.items()):
        for column, measure in enumerate(MEASURES):
            parts.append(f'<g transform="translate({column * _WIDTH} {row * _HEIGHT})">')
            parts += _panel(half, found, measure)
            parts.append("</g>")
    return "\n".join((*parts, "</svg>", ""))


def _panel(half: str, found: Summary, measure: str) -> Iterator[str]:
    curves = {order: found.curves[f"oracle {measure}" if order == "oracle" else order] for order in _STYLES}
    ends = _ends([getattr(point, measure) for points in curves.values() for point in points], measure)
    yield f'<text x="{_LEFT}" y="20" font-size="13" font-weight="bold">{half} half: {_NAMES[measure]}</text>'
    for step in range(6):
        value = ends[0] + step / 5 * (ends[1] - ends[0])
        x, y = _x(step / 5), _y(value, ends)
        yield f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" stroke="#e4e4e4"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{100 * value:.0f}</text>'
        yield f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{20 * step}</text>'
    yield f'<text x="{_x(0.5)}" y="{_HEIGHT - 10}" text-anchor="middle">pixels sent, % of all</text>'
    for place, (order, points) in enumerate(curves.items()):
        colour, dashes = _STYLES[order]
        yield f'<polyline points="{_path(points, measure, ends)}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
        yield f'<text x="{_LEFT + 80 * place}" y="38" fill="{colour}">{order}</text>'
    stop = found.stop
    yield f'<circle cx="{_x(stop.pixels)}" cy="{_y(getattr(stop, measure), ends)}" r="4" fill="{_STYLES["cascade"][0]}">'
    yield f"<title>from an expected error of {stop.threshold:g} on</title></circle>"


def _ends(values: Sequence[float], measure: str) -> tuple[float, float]:
    """Where a panel's axis begins and ends, in whole steps of one per cent: CER from 0, F1 up to 1."""
    if measure == "f1":
        return max(min(math.floor(20 * min(values)) / 20, 0.95), 0.0), 1.0
    return 0.0, max(math.ceil(20 * max(values)) / 20, 0.05)


def _path(points: Sequence[Point], measure: str, ends: tuple[float, float]) -> str:
    return " ".join(f"{_x(point.pixels)},{_y(getattr(point, measure), ends)}" for point in points)


def _x(share: float) -> float:
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(value: float, ends: tuple[float, float]) -> float:
    return round(_HEIGHT - _BOTTOM - (value - ends[0]) / (ends[1] - ends[0]) * (_HEIGHT - _TOP - _BOTTOM), 1)
