"""Ink however soft is ink, and paper however shaded is paper: pages drawn so that the answer is known, over a grid of papers, lights and grains."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pymupdf
import pytest

from escriba.document import Block, Page
from escriba.engines.one_page import read_page
from escriba.escalation import regions
from escriba.guards.acceptance import judge
from escriba.layout.ink import ink_share, sharp_share
from escriba.layout.rendering import rendered
from escriba.policy import Policy
from escriba.ports import Reading
from escriba.vision import Answer, Parsed, Region, Said
from tests.unit.test_auto import Shape

BLANK = Policy().ocr.max_blank_ink
TEXT = (
    "Laboratory note no. 7741",
    "",
    "The sample weighed 23.85 grams on 14/03/2025.",
    "Reference code: QX-90817-B",
    "Total charged: EUR 1.284,50",
)
WIDTH, HEIGHT = 1240, 700
LIGHTS = ("even", "to one side", "shadow at the edge", "lid", "lamp", "fold")
GRAINS = ("none", "fine", "strong", "jpeg")


@cache
def letters(blur: float) -> np.ndarray:
    """How much ink lies on each pixel, 0 to 1."""
    page = pymupdf.open().new_page(width=WIDTH, height=HEIGHT)
    for n, text in enumerate(TEXT):
        page.insert_text((90, 120 + 80 * n), text, fontsize=34)
    pixmap = page.get_pixmap(colorspace=pymupdf.csGRAY)
    ink = 1 - np.frombuffer(pixmap.samples, np.uint8).reshape(HEIGHT, WIDTH) / 255
    return cv2.GaussianBlur(ink, (0, 0), blur) if blur else ink


def paper(white: float, light: str) -> np.ndarray:
    across, down = np.linspace(0, 1, WIDTH)[None, :], np.linspace(0, 1, HEIGHT)[:, None]
    dark = {
        "even": 0 * across + 0 * down,
        "to one side": 40 * across + 0 * down,
        "shadow at the edge": 70 * np.exp(-across * WIDTH / 60) + 0 * down,
        "lid": 60 * (across < 0.06) + 60 * (down > 0.9),
        "lamp": 25 - 25 * np.exp(-((across - 0.5) ** 2 + (down - 0.4) ** 2) / 0.06),
        "fold": 18 * np.exp(-(((down - 0.5) * HEIGHT / 4) ** 2)) + 0 * across,
    }[light]
    return np.asarray(white - dark)


def grainy(page: np.ndarray, grain: str) -> np.ndarray:
    deviation = {"none": 0, "fine": 4, "strong": 10, "jpeg": 6}[grain]
    pixels = np.clip(page + np.random.default_rng(1).normal(0, 1, page.shape) * deviation, 0, 255).astype(np.uint8)
    if grain != "jpeg":
        return pixels
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_GRAYSCALE))


def written(white: float, light: str, grain: str, blur: float, ink: float = 30) -> np.ndarray:
    share = letters(blur)
    return grainy(paper(white, light) * (1 - share) + ink * share, grain)


def faint() -> np.ndarray:
    """Grey on grey, blurred, and as much noise as there is contrast: a person sees that there is text."""
    share = letters(3.5)
    page = 235 - 40 * share + np.random.default_rng(1).integers(-25, 26, share.shape)
    return np.clip(page, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("white", [255, 235, 215, 200])
@pytest.mark.parametrize("light", LIGHTS)
def test_paper_is_blank(white: float, light: str) -> None:
    """White or grey, evenly lit or not, smooth or grainy."""
    assert [grain for grain in GRAINS if _inked(grainy(paper(white, light), grain))] == []


@pytest.mark.parametrize("white", [255, 235, 200])
@pytest.mark.parametrize("blur", [0, 2, 4, 6, 8])
def test_text_is_ink_however_soft(white: float, blur: float) -> None:
    """Dark letters on the same papers, out of focus by up to a quarter of their height."""
    blank = [(light, grain) for light in LIGHTS for grain in ("none", "strong") if not _inked(written(white, light, grain, blur))]
    assert blank == []


def _inked(pixels: np.ndarray) -> bool:
    return ink_share(pixels) > BLANK


def test_ink_that_is_sharp_is_counted_as_it_was() -> None:
    """The guards' figures were measured so: what is looked for on a page that seems blank changes no other."""
    for blur in (0, 2):
        assert ink_share(written(255, "even", "none", blur)) == sharp_share(written(255, "even", "none", blur)) > BLANK


def test_dirt_is_not_text() -> None:
    """Specks all over an empty page, each smaller than a letter."""
    page = np.full((1400, 1000), 245, np.uint8)
    for x, y in np.random.default_rng(2).integers(10, 990, (150, 2)):
        cv2.circle(page, (int(x), int(y)), 1, (120,), -1)
    assert not _inked(page)


class Nothing:
    name, version = "nothing", "1"

    def read(self, pages: object, policy: Policy) -> list[Reading]:
        return [Reading(())]


def rgb(pixels: np.ndarray) -> Shape:
    return Shape(np.ascontiguousarray(np.broadcast_to(pixels[..., None], (*pixels.shape, 3))))


@pytest.mark.parametrize("pixels", [written(235, "even", "strong", 6), faint()], ids=["blurred", "faint"])
def test_soft_text_that_nobody_read_is_degraded_escalated_and_believed(pixels: np.ndarray) -> None:
    """Not passed off as a blank page, shown to a vision model, and its answer not refused as text for a blank region."""
    shape, policy = rgb(pixels), Policy()
    page = read_page(1, "ocr", shape, Nothing(), policy)
    assert isinstance(page, Page)
    assert (page.state, page.reason) == ("DEGRADED", "nothing could be read on a page that is not blank")
    assert regions(page, policy) == (Region("unread"),)
    assert _judged(shape, policy) == ""


def test_a_grainy_shaded_page_stays_blank_all_the_way() -> None:
    """DONE and asked of nobody; text for it is not believed."""
    shape, policy = rgb(grainy(paper(215, "shadow at the edge"), "strong")), Policy()
    page = read_page(1, "ocr", shape, Nothing(), policy)
    assert isinstance(page, Page)
    assert (page.state, regions(page, policy)) == ("DONE", ())
    assert _judged(shape, policy) == "not_blank"


def _judged(shape: Shape, policy: Policy) -> str:
    """The guard that refuses an honest answer about the whole page."""
    text, cpu = "\n".join(TEXT), tuple[Block, ...]()
    answer, parsed = Answer(text=text, finish="stop", model="m"), Parsed((Said("paragraph", text),))
    return judge(
        answer, parsed, cpu, ink=rendered(shape, 1500, 0, None).ink, region=Region("unread"), prompt="Read it.", policy=policy
    ).refused
