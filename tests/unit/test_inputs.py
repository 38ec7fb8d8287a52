"""Every kind of input, made here: what it looks like once open, what a plain copy holds, which limits stop it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image, ImageDraw

import escriba
from escriba.errors import Encrypted, OverLimit
from escriba.guards import limits as guards
from escriba.policy import Limits, Policy
from escriba.sources.opening import open_source
from escriba.sources.plain_copy import write_plain_copy
from tests.documents import text_pdf

SIZE = (80, 40)


def drawn(mode: str) -> Image.Image:
    """White with a black bar on the left."""
    image = Image.new("L", SIZE, 255)
    ImageDraw.Draw(image).rectangle((0, 0, 19, 39), fill=0)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    return image.convert(mode)


def saved(mode: str, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    drawn(mode).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind", "options", "media_type"),
    [
        ("L", "PNG", {}, "image/png"),
        ("I;16", "PNG", {}, "image/png"),
        ("P", "PNG", {}, "image/png"),
        ("RGBA", "PNG", {}, "image/png"),
        ("RGB", "JPEG", {}, "image/jpeg"),
        ("CMYK", "JPEG", {}, "image/jpeg"),
        ("1", "TIFF", {"compression": "group4"}, "image/tiff"),
        ("L", "TIFF", {"compression": "tiff_lzw"}, "image/tiff"),
        ("RGB", "WEBP", {"lossless": True}, "image/webp"),
        ("RGB", "BMP", {}, "image/bmp"),
        ("P", "GIF", {}, "image/gif"),
        ("RGB", "JPEG2000", {}, "image/jp2"),
        ("RGB", "HEIF", {"quality": 90}, "image/heic"),
        ("RGB", "AVIF", {"quality": 90}, "image/avif"),
    ],
)
def test_pictures_of_every_kind_come_out_alike(tmp_path: Path, mode: str, kind: str, options: dict[str, Any], media_type: str) -> None:
    """Black on the left, white on the right, whatever the file and its colours."""
    path = tmp_path / "picture"
    path.write_bytes(saved(mode, kind, **options))
    source = open_source(path)
    pixels = source.page(1).image(200)
    assert (source.media_type, source.page_count, pixels.shape) == (media_type, 1, (40, 80, 3))
    assert pixels[:, :15].mean() < 12
    assert pixels[:, 25:].mean() > 243


def test_a_photograph_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    """Orientation 6: the bar on the left comes to stand on top."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "picture"
    path.write_bytes(saved("RGB", "JPEG", exif=exif))
    page = open_source(path).page(1)
    assert page.height > page.width
    assert page.image(200)[:15].mean() < 12


def test_a_tiff_has_as_many_pages_as_frames(tmp_path: Path) -> None:
    """Each frame with its own pixels, and one can be cut out."""
    path, out = tmp_path / "frames", tmp_path / "cut"
    Image.new("L", SIZE, 0).save(path, "TIFF", save_all=True, append_images=[Image.new("1", SIZE, 1)])
    source = open_source(path)
    assert [int(source.page(n).image(200).mean()) for n in (1, 2)] == [0, 255]
    out.write_bytes(source.cut(2))
    assert int(open_source(out).page(1).image(200).mean()) == 255


@pytest.mark.parametrize("filter_", ["jbig2-free ccitt", "jpx"])
def test_pictures_inside_a_pdf_are_drawn(tmp_path: Path, filter_: str) -> None:
    """CCITT and JPX streams as scanners embed them."""
    content = saved("1", "TIFF", compression="group4") if "ccitt" in filter_ else saved("RGB", "JPEG2000")
    with pymupdf.open() as document:
        page = document.new_page(width=80, height=40)
        page.insert_image(page.rect, stream=content)
        path = tmp_path / "scan.pdf"
        document.save(path)
    pixels = open_source(path).page(1).image(72)
    assert pixels[:, :15].mean() < 20
    assert pixels[:, 25:].mean() > 235


def locked(user: str) -> bytes:
    with pymupdf.open(stream=text_pdf("Behind the door"), filetype="pdf") as document:
        return bytes(document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=user, owner_pw="owner"))


def test_the_right_password_opens_an_encrypted_pdf() -> None:
    """One of several will do, accents and all; the owner's opens it too."""
    for password in ("chave não", "wrong\nchave não", "owner"):
        document = escriba.read(locked("chave não"), password=password)
        assert "Behind the door" in document.pages[0].blocks[0].text


@pytest.mark.parametrize(("password", "sentence"), [("", "needs a password; give it with --password"), ("wrong", "none of the passwords")])
def test_without_it_the_pdf_is_rejected(password: str, sentence: str) -> None:
    """With the way out."""
    with pytest.raises(Encrypted, match=sentence):
        escriba.read(locked("secret"), password=password)


def test_a_secret_that_is_not_there_is_named() -> None:
    """The policy names it, so the sentence does."""
    with pytest.raises(Encrypted, match="password_secret = 'vault'"):
        escriba.read(locked("secret"), policy=Policy(password_secret="vault"))  # noqa: S106


def portfolio(*parts: tuple[str, bytes]) -> bytes:
    with pymupdf.open(stream=text_pdf("This is a cover sheet"), filetype="pdf") as document:
        for name, content in parts:
            document.embfile_add(name, content)
        document.xref_set_key(document.pdf_catalog(), "Collection", "<</Type/Collection>>")
        return bytes(document.tobytes())


def test_a_portfolio_is_read_with_all_its_documents() -> None:
    """Cover, PDF, encrypted PDF and the PDF of an inner portfolio in a row; what is no document is left out."""
    inner = portfolio(("deep.pdf", text_pdf("Deep inside")))
    parts = (("a.pdf", text_pdf("First part")), ("b.pdf", locked("secret")), ("c.pdf", inner), ("d.txt", b"no document"))
    document = escriba.read(portfolio(*parts), password="secret")  # noqa: S106
    texts = [page.blocks[0].text for page in document.pages]
    assert texts == ["This is a cover sheet", "First part", "Behind the door", "This is a cover sheet", "Deep inside"]


def test_a_part_that_cannot_be_opened_leaves_a_page_that_says_so() -> None:
    """Nothing disappears without a word."""
    document = escriba.read(portfolio(("a.pdf", b"%PDF-1.7 broken"), ("b.pdf", locked("secret")), ("c.pdf", text_pdf("Fine"))))
    texts = [page.blocks[0].text for page in document.pages]
    assert texts == ["This is a cover sheet", *["A document in this portfolio could not be opened."] * 2, "Fine"]


def test_portfolios_nest_only_so_deep(tmp_path: Path) -> None:
    """A portfolio in itself, three times over, is refused."""
    content = text_pdf("Core")
    for _ in range(4):
        content = portfolio(("inner.pdf", content))
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(OverLimit, match=r"3 deep, more than the policy's limits\.max_nesting = 2"):
        write_plain_copy(path, tmp_path / "copy", Limits(), ())


def test_a_broken_page_takes_no_neighbours_along() -> None:
    """Pages before and after it are read; it is quarantined with its reason."""
    with pymupdf.open(stream=text_pdf("One", "Two", "Three"), filetype="pdf") as document:
        kids = document.xref_get_key(document.pdf_catalog(), "Pages")[1].split()[0]
        first, _, third = (document.page_xref(n) for n in range(3))
        document.xref_set_key(int(kids), "Kids", f"[{first} 0 R null {third} 0 R]")
        content = document.tobytes()
    read = escriba.read(content)
    assert [page.state for page in read.pages] == ["DONE", "QUARANTINED", "DONE"]
    assert "the page is broken" in read.pages[1].reason


@pytest.mark.parametrize(
    ("check", "within", "beyond", "sentence"),
    [
        (guards.check_bytes, (500_000_000,), (500_000_001,), "max_bytes = 500,000,000; raise it there"),
        (guards.check_pages, (10_000,), (10_001,), "10,001 pages, more than the policy's limits.max_pages"),
        (guards.check_picture, (20_000, 10_000, 10_000), (20_000, 10_001, 10**9), "max_pixels"),
        (guards.check_picture, (7_000, 7_000, 1), (8_000, 8_000, 3_000), "21,333 pixels a byte"),
        (guards.check_page_size, (144_000, 10), (145_000, 10), "2,014 inches"),
        (guards.check_nesting, (2,), (3,), "3 deep"),
    ],
)
def test_each_limit_lets_through_what_it_allows_and_no_more(check: Any, within: tuple[Any], beyond: tuple[Any], sentence: str) -> None:
    """At the limit, and one step over it."""
    check(*within, Limits())
    with pytest.raises(OverLimit, match=sentence):
        check(*beyond, Limits())


@pytest.mark.parametrize("limits", [Limits(max_bytes=10), Limits(max_pages=1)])
def test_the_pipeline_asks_for_the_limits_of_the_policy(limits: Limits) -> None:
    """At the door for bytes, when planned for pages."""
    with pytest.raises(OverLimit, match="raise it there"):
        escriba.read(text_pdf("One", "Two"), policy=Policy(limits=limits))
