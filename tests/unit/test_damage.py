"""A PDF that is cut off or has lost its table is repaired without a word: what its pages have lost must be said, and nothing of those that are whole."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from PIL import Image

from escriba.document import Page
from escriba.engines.one_page import read_page
from escriba.engines.text_layer import TextLayer
from escriba.errors import Corrupt
from escriba.policy import Limits, Policy
from escriba.ports import Rejection
from escriba.sources.pdf import PdfSource
from escriba.sources.plain_copy import write_plain_copy
from tests.documents import DATA, EXAMPLES, orders_pdf, text_pdf

NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 200, 3), dtype=np.uint8))


def encoded(kind: str) -> tuple[bytes, bytes]:
    """A picture's bytes and the entries of its PDF object that say how they are to be read."""
    plain = b"/ColorSpace /DeviceRGB /BitsPerComponent 8"
    out = io.BytesIO()
    if kind == "flate":
        return zlib.compress(NOISE.tobytes()), b"/Filter /FlateDecode " + plain
    NOISE.save(out, "JPEG" if kind == "jpeg" else "JPEG2000")
    return out.getvalue(), b"/Filter /DCTDecode " + plain if kind == "jpeg" else b"/Filter /JPXDecode"


def scan(kind: str, order: str) -> tuple[bytes, dict[int, int]]:
    """A page that is one picture (object 5) drawn by a content stream (object 4), its objects in this order; where each begins."""
    picture, entries = encoded(kind)
    content = b"q 200 0 0 300 10 10 cm /Im Do Q"
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 220 320] /Contents 4 0 R /Resources << /XObject << /Im 5 0 R >> >> >>",
        4: b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        5: b"<< /Type /XObject /Subtype /Image /Width 200 /Height 300 %s /Length %d >>\nstream\n%s\nendstream"
        % (entries, len(picture), picture),
    }
    out, starts = b"%PDF-1.5\n", {}
    for number in map(int, order):
        starts[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    return out, starts


def verdict(tmp_path: Path, content: bytes, number: int = 1) -> str:
    """How the reading of a page ends, and why where it is not DONE."""
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    answer = read_page(number, "text_layer", PdfSource(path, Limits()).page(number), TextLayer(), Policy())
    if isinstance(answer, Rejection):
        return f"QUARANTINED: {answer.reason}"
    assert isinstance(answer, Page)
    return f"{answer.state}{': ' * bool(answer.reason)}{answer.reason}"


def without_table(content: bytes) -> bytes:
    """A PDF that MuPDF has to repair, with all its pages."""
    return content.replace(b"startxref", b"startxxxx")


@pytest.mark.parametrize("kind", ["jpeg", "flate", "jpeg 2000"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_picture_that_is_cut_off_is_missed(tmp_path: Path, kind: str, share: float) -> None:
    """Of every kind and wherever the file breaks off; a part of a page is DEGRADED, of nothing there is nothing to deliver."""
    content, starts = scan(kind, "12345")
    assert verdict(tmp_path, content) == "DONE"
    state = "QUARANTINED" if kind == "jpeg 2000" else "DEGRADED"  # half a JPEG 2000 is not drawn at all
    assert verdict(tmp_path, content[: starts[5] + 160 + int((len(content) - starts[5] - 180) * share)]).startswith(
        f"{state}: the PDF is cut off or damaged"
    )


@pytest.mark.parametrize(("order", "lost"), [("12345", 5), ("12534", 4), ("12354", 4), ("12354", 5)])
def test_what_is_gone_altogether_is_missed(tmp_path: Path, order: str, lost: int) -> None:
    """The picture, what draws it, or both; none of them leaves more than a reference."""
    content, starts = scan("jpeg", order)
    assert verdict(tmp_path, content[: starts[lost]]) == "QUARANTINED: the PDF is cut off or damaged: nothing is left of this page"


def test_a_text_that_breaks_off_is_missed(tmp_path: Path) -> None:
    """Also where it is not compressed, so that no filter complains; the pages before it are whole."""
    document = pymupdf.open(stream=text_pdf("first of all", *(["words and words"] * 2)), filetype="pdf")
    for page in document:
        page.insert_text((72, 200), "more of the same " * 200)
    content = bytes(document.tobytes(deflate=False, expand=255))
    last = content.rfind(b"endstream")
    ends = [verdict(tmp_path, content[: last - 2000], number).partition(":")[0] for number in (1, 2, 3)]
    assert ends == ["DONE", "DONE", "DEGRADED"]


def test_pages_that_are_gone_are_missed(tmp_path: Path) -> None:
    """MuPDF goes by the number of pages that the document claims, and shows those it cannot find blank."""
    content = (EXAMPLES / "mixed.pdf").read_bytes()
    ends = [verdict(tmp_path, content[: len(content) // 2], number) for number in (1, 2, 3, 4)]
    assert ends == ["DONE", *["QUARANTINED: the PDF is cut off or damaged: nothing is left of this page"] * 3]


def test_repaired_pages_that_are_whole_stay_done(tmp_path: Path) -> None:
    """Text, pictures and blank pages of a document whose table is gone."""
    for content in (text_pdf("some text", "and more"), orders_pdf([0, 0]), text_pdf("", "")):
        path = tmp_path / "a.pdf"
        path.write_bytes(without_table(content))
        source = PdfSource(path, Limits())
        assert pymupdf.open(path).is_repaired
        assert [verdict(tmp_path, without_table(content), number) for number in (1, 2)] == ["DONE", "DONE"]
        assert source.cut(2)
    for name in ("digitalizacao", "mixed", "report"):
        content = without_table((EXAMPLES / f"{name}.pdf").read_bytes())
        assert verdict(tmp_path, content) == "DONE"


@pytest.mark.data
def test_repaired_documents_of_the_collection_stay_whole(tmp_path: Path) -> None:
    """First pages of what others have written and scanned, their tables taken away: no false alarm."""
    found = sorted([*(DATA / "born_digital").glob("*.pdf"), *(DATA / "scans").glob("*.pdf")])[::4]
    assert len(found) > 5
    for path in found:
        (tmp_path / "a.pdf").write_bytes(without_table(path.read_bytes()))
        assert PdfSource(tmp_path / "a.pdf", Limits()).page(1).flaw == "", path.name


def test_a_damaged_page_is_not_taken_out_of_its_document(tmp_path: Path) -> None:
    """A copy leaves out what is referred to in vain, and would look whole: its reader gets the document instead."""
    content, starts = scan("jpeg", "12345")
    (tmp_path / "a.pdf").write_bytes(content[: starts[5] + 5000])
    with pytest.raises(Corrupt, match="a part of this page is missing"):
        PdfSource(tmp_path / "a.pdf", Limits()).cut(1)


def test_an_unlocked_copy_keeps_what_its_original_lacks(tmp_path: Path) -> None:
    """A plain copy has a table of its own; that its pages are not whole must go with it."""
    document = pymupdf.open(stream=orders_pdf([0, 0]), filetype="pdf")
    picture = io.BytesIO()
    NOISE.save(picture, "PNG")
    document[1].insert_image(document[1].rect, stream=picture.getvalue())
    locked = bytes(document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_128, user_pw="word", owner_pw="word"))
    # The image is cut short, and the table with it.
    start = locked.index(b"stream", locked.index(b"/Width 200"))
    end = locked.index(b"endstream", start)
    (tmp_path / "locked.pdf").write_bytes(without_table(locked[: start + 5000] + b"\n" + locked[end:]))
    copy = tmp_path / "copy.pdf"
    assert write_plain_copy(tmp_path / "locked.pdf", copy, Limits(), ["word"])
    assert not pymupdf.open(copy).is_repaired
    source = PdfSource(copy, Limits())
    assert source.page(1).flaw == ""
    assert "a part of this page is missing" in source.page(2).flaw
