"""Files are known by their content, opened with a sentence for each failure, and looked at cheaply."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from escriba.document import Block, BoundingBox, Line, Page, Word
from escriba.errors import Corrupt, Encrypted, OverLimit, Unsupported
from escriba.policy import Limits, Policy, Triage
from escriba.ports import PageFeatures
from escriba.sources.opening import open_source
from escriba.triage import choose_route, pack, shortcoming
from tests.documents import EXAMPLES, picture


def put(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"PK\x03\x04....", "ZIP"),
        (b"\x00\x00\x01\x00\x01", "icon"),
        (b"RIFF....WAVE", "sound"),
        (b"hello", "plain text"),
        (b"<html>", "HTML"),
        (b"\x00\xff\xfe\x80" * 10, "unknown kind"),
    ],
)
def test_other_kinds_are_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    """What it is, and what Escriba reads."""
    with pytest.raises(Unsupported, match=f"{sentence}.*PDF, PNG, JPEG, TIFF, WebP"):
        open_source(put(tmp_path, content))


def encrypted() -> bytes:
    document = pymupdf.open()
    document.new_page()
    return bytes(document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="x", owner_pw="y"))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"%PDF-1.7\nnothing", Corrupt),
        (encrypted(), Encrypted),
        (b"\x89PNG\r\n\x1a\nbroken", Corrupt),
        (b"\xff\xd8\xffbroken", Corrupt),
        (b"II*\x00broken", Corrupt),
        (picture("a picture", "GIF", comment=b"%PDF-1.7"), Corrupt),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    """Encrypted is not broken."""
    with pytest.raises(error):
        open_source(put(tmp_path, content))


def test_features_of_a_text_page_a_scan_and_a_turned_page() -> None:
    """Characters, image coverage and displayed size tell them apart."""
    source = open_source(EXAMPLES / "mixed.pdf")
    text, scan, turned, _ = (source.features(n) for n in range(1, 5))
    assert (text.characters > 50, text.image_coverage, text.junk) == (True, 0.0, 0.0)
    assert scan.characters == 0
    assert scan.image_coverage > 0.99
    assert (turned.rotation, turned.width, turned.height) == (90, 842.0, 595.0)
    source.close()


def test_hidden_text_over_an_image_is_seen(tmp_path: Path) -> None:
    """An old OCR layer is invisible text over a full image."""
    document = pymupdf.open()
    page = document.new_page(width=200, height=100)
    page.insert_image(page.rect, stream=picture("scan"), keep_proportion=False)
    page.insert_text((10, 50), "invisible text layer", render_mode=3)
    features = open_source(put(tmp_path, bytes(document.tobytes()))).features(1)
    assert (features.hidden_text, features.image_coverage) == (1.0, 1.0)
    assert choose_route(features, Triage()) == "ocr"


def test_a_cut_page_is_the_page(tmp_path: Path) -> None:
    """One page, same text, same rotation."""
    path = put(tmp_path, open_source(EXAMPLES / "mixed.pdf").cut(3))
    cut = open_source(path)
    assert (cut.page_count, cut.features(1).rotation) == (1, 90)
    assert "sideways" in pymupdf.open(path, filetype="pdf")[0].get_text()


def test_a_huge_page_is_rendered_small(tmp_path: Path) -> None:
    """A page of 14,400 points a side does not become gigapixels."""
    document = pymupdf.open()
    document.new_page(width=14_400, height=14_400)
    image = open_source(put(tmp_path, bytes(document.tobytes()))).page(1).image(200)
    assert image.shape[0] * image.shape[1] <= 45_000_000


def test_frames_of_a_tiff_are_pages(tmp_path: Path) -> None:
    """Two frames, cut as files of their own with the same resolution; one frame is passed on as it is."""
    frames = [Image.new("L", (300, 150), shade) for shade in (0, 255)]
    out = io.BytesIO()
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:], dpi=(150, 150))
    source = open_source(put(tmp_path, out.getvalue()))
    assert (source.page_count, source.features(2).width, source.features(2).height) == (2, 144.0, 72.0)
    second = tmp_path / "second"
    second.write_bytes(source.cut(2))
    page = open_source(second).page(1)
    assert (round(page.width), page.image(200).min(), page.native()) == (144, 255, None)
    single = put(tmp_path, picture("one"))
    assert open_source(single).cut(1) == single.read_bytes()


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.new("I;16", (40, 20), 65535), {}),
        (Image.new("RGBA", (40, 20), (0, 0, 0, 0)), {}),
        (Image.new("P", (40, 20), 0), {"transparency": 0}),
        (Image.new("1", (40, 20), 1), {}),
    ],
)
def test_modes_become_rgb_on_white(tmp_path: Path, image: Image.Image, options: dict[str, int]) -> None:
    """16 bits are scaled, transparency is paper, one bit is black and white."""
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    pixels = open_source(put(tmp_path, out.getvalue())).page(1).image(200)
    assert pixels.shape == (20, 40, 3)
    assert pixels.min() == 255


def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    """EXIF orientation 6 stands upright: width and height change places."""
    image = Image.new("RGB", (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, dpi=(72, 72))
    source = open_source(put(tmp_path, out.getvalue()))
    assert (source.features(1).width, source.features(1).height) == (20.0, 40.0)
    assert source.page(1).image(72).shape == (40, 20, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright_as_pillow_does(tmp_path: Path, orientation: int) -> None:
    """The page's size and its pixels, for all eight."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = put(tmp_path, picture("upright", "PNG", exif=exif))
    page = open_source(path).page(1)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert (page.image(200) == expected).all()
    assert (page.width > page.height) == (expected.shape[1] > expected.shape[0])


def test_a_picture_whose_exif_is_broken_is_read_all_the_same(tmp_path: Path) -> None:
    """A fraction where a whole number should stand: Pillow cannot write it again, and need not."""
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    content = picture("some text", "JPEG", exif=exif)
    assert b"\x01\x1a\x00\x05" in content
    page = open_source(put(tmp_path, content.replace(b"\x01\x1a\x00\x05", b"\x01\x18\x00\x05"))).page(1)
    assert page.image(200).shape == (600, 200, 3)
    assert page.flaw == ""


def test_a_cut_off_fax_still_becomes_a_page_of_a_pdf(tmp_path: Path) -> None:
    """Black and white pictures have a way of their own into the searchable PDF, which must not stop where the file does."""
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).random((300, 400)) < 0.5).save(out, "PNG")
    source = open_source(put(tmp_path, out.getvalue()[: len(out.getvalue()) // 2]))
    with Image.open(io.BytesIO(source.picture(1))) as whole:
        assert whole.size == (400, 300)


def test_a_cut_off_picture_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """The pixels that are there, and a flaw that makes the page DEGRADED."""
    content = picture("some text", "JPEG")
    page = open_source(put(tmp_path, content[: len(content) // 2])).page(1)
    assert page.image(200).shape == (200, 600, 3)
    assert "cut off" in page.flaw


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"max_pixels": 100}, "120,000 pixels, more than the policy's limits.max_pixels = 100"),
        ({"max_page_inches": 1}, "3 inches long, more than the policy's limits.max_page_inches = 1"),
    ],
)
def test_a_vast_picture_is_over_a_limit(tmp_path: Path, limits: dict[str, int], sentence: str) -> None:
    """The sentence names the figure, the limit and where to raise it."""
    with pytest.raises(OverLimit, match=sentence):
        open_source(put(tmp_path, picture("some text")), Limits(**limits)).features(1)


@pytest.mark.parametrize(
    ("features", "route"),
    [
        ({"characters": 500}, "text_layer"),
        ({"characters": 0, "image_coverage": 1.0}, "ocr"),
        ({"characters": 0}, "text_layer"),
        ({"characters": 3, "drawings": 2}, "text_layer"),
        ({"characters": 0, "drawings": 500}, "ocr"),
        ({"characters": 500, "junk": 0.5}, "ocr"),
        ({"characters": 500, "hidden_text": 1.0, "image_coverage": 0.9}, "ocr"),
        ({"characters": 500, "hidden_text": 1.0, "image_coverage": 0.1}, "text_layer"),
    ],
)
def test_routes(features: dict[str, float], route: str) -> None:
    """A believable text layer is used; outlines, junk, scans and old OCR are read from pixels."""
    assert choose_route(PageFeatures(number=1, width=1, height=1, **features), Triage()) == route  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["text_layer", "ocr"]), max_size=300), st.integers(1, 4))
def test_packets_cover_every_page_once(routes: list[str], start: int) -> None:
    """In order, without gap or overlap; OCR alone; text up to fifty and never across a fiftieth page, wherever planning resumes."""
    pages = [(n, route) for n, route in enumerate(routes, start=1 + 50 * (start - 1))]
    packets = list(pack(pages))  # type: ignore[arg-type]
    assert [(n, route) for first, last, route in packets for n in range(first, last + 1)] == pages
    for first, last, route in packets:
        assert route == "text_layer" or first == last
        assert (first - 1) // 50 == (last - 1) // 50
    assert list(pack(pages[:50])) + list(pack(pages[50:])) == packets  # type: ignore[arg-type]


def test_low_confidence_is_a_shortcoming_of_ocr_only() -> None:
    """A text layer has none; OCR below the policy's threshold is DEGRADED with its figure."""
    box = BoundingBox(0, 0, 1, 1)
    blocks = (Block(kind="paragraph", box=box, lines=(Line(box, (Word("a", box, 0.4),)),)),)
    page = Page(number=1, width=1, height=1, route="ocr", engine="x", state="DONE", confidence=0.4, blocks=blocks)
    assert "0.40" in shortcoming(page, 0.0, Policy())
    assert shortcoming(Page(number=1, width=1, height=1, route="text_layer", engine="x", state="DONE"), 1.0, Policy()) == ""


def test_a_page_of_which_nothing_was_read_is_degraded_unless_it_is_blank() -> None:
    """No word and some ink: the page says so; no word and no ink: a blank page is done."""
    page = Page(number=1, width=1, height=1, route="ocr", engine="x", state="DONE")
    assert "not blank" in shortcoming(page, 0.02, Policy())
    assert shortcoming(page, 0.001, Policy()) == ""


def test_a_page_of_a_pdf_as_a_picture() -> None:
    """Drawn at 200 dots per inch."""
    with Image.open(io.BytesIO(open_source(EXAMPLES / "mixed.pdf").picture(4))) as picture_:
        assert picture_.size == (828, 1167)


@pytest.mark.parametrize("resolution", [(0, 0), (1, 0)])
def test_a_picture_whose_resolution_is_no_number_is_taken_for_an_ordinary_one(tmp_path: Path, resolution: tuple[int, int]) -> None:
    """A damaged TIFF tag of 0/0 or 1/0 dots: the page has its size at the assumed resolution."""
    out = io.BytesIO()
    Image.new("L", (200, 100), 255).save(out, "TIFF", dpi=(150, 150))
    rational = struct.pack("<II", 150, 1)
    assert rational in out.getvalue()
    path = tmp_path / "damaged.tif"
    path.write_bytes(out.getvalue().replace(rational, struct.pack("<II", *resolution)))
    page = open_source(path).page(1)
    assert (page.width, page.height) == (72, 36)
