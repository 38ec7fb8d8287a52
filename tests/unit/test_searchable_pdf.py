"""The searchable PDF looks like the original, finds every word where it stands, and does nothing by itself."""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pymupdf
import pytest
from PIL import Image

from escriba.document import Block, BoundingBox, Line, Page, Word
from escriba.errors import Corrupt
from escriba.formats import searchable_pdf
from escriba.formats.searchable_pdf import LOST, write_searchable_pdf
from escriba.policy import Limits
from escriba.sources.opening import open_source
from tests.documents import EXAMPLES, text_pdf

WORDS = (("Ação", 10, 60), ("nº", 90, 60), ("Łódź", 10, 120), ("Straße—", 90, 120))


def recognised(number: int, width: float, height: float, *, size: float = 20) -> Page:
    lines = tuple(Line(box, (Word(text, box, 0.9),)) for text, x, y in WORDS for box in [BoundingBox(x, y, x + 3 * size, y + size)])
    block = Block(kind="paragraph", box=BoundingBox(0, 0, width, height), lines=lines)
    return Page(number=number, width=width, height=height, route="ocr", engine="x", state="DONE", blocks=(block,))


def scan(tmp_path: Path, rotation: int = 0, crop: bool = False) -> Path:
    """A PDF with one page of nothing but a picture."""
    out = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(out, "PNG")
    with pymupdf.open() as document:
        page = document.new_page(width=300, height=200)
        page.insert_image(page.rect, stream=out.getvalue())
        if crop:
            page.set_cropbox(pymupdf.Rect(20, 10, 290, 190))
        page.set_rotation(rotation)
        document.save(tmp_path / "scan.pdf")
    return tmp_path / "scan.pdf"


def written(path: Path, *pages: Page) -> pymupdf.Document:
    out = path.with_name("out.pdf")
    source = open_source(path)
    write_searchable_pdf(source, path, pages, out)
    source.close()
    return pymupdf.open(out)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [False, True])
def test_each_word_lies_in_its_box_as_displayed(tmp_path: Path, rotation: int, crop: bool) -> None:
    """Whatever the page's rotation and crop box: same words, accents and all, boxes that overlap by far the most of their area."""
    path = scan(tmp_path, rotation, crop)
    with pymupdf.open(path) as document:
        rect = document[0].rect
    page = written(path, recognised(1, rect.width, rect.height))[0]
    found = {word[4]: pymupdf.Rect(word[:4]) * page.rotation_matrix for word in page.get_text("words")}
    assert set(found) == {text for text, _, _ in WORDS}
    for text, x, y in WORDS:
        box = pymupdf.Rect(x, y, x + 60, y + 20)
        common = pymupdf.Rect(found[text].normalize() & box)
        assert common.get_area() / (found[text] | box).get_area() > 0.6, (text, found[text], box)


def test_the_page_looks_as_before(tmp_path: Path) -> None:
    """Not a pixel changes."""
    path = EXAMPLES / "digitalizacao.pdf"
    copy = tmp_path / "scan.pdf"
    shutil.copy(path, copy)
    with pymupdf.open(path) as before:
        after = written(copy, recognised(1, 595, 842))
        assert before[0].get_pixmap(dpi=60).samples == after[0].get_pixmap(dpi=60).samples


def test_a_page_with_text_keeps_it_alone(tmp_path: Path) -> None:
    """Text is laid only where there is none."""
    path = tmp_path / "text.pdf"
    path.write_bytes(text_pdf("Own words"))
    assert written(path, recognised(1, 595, 842))[0].get_text().split() == ["Own", "words"]


def test_a_picture_becomes_a_page(tmp_path: Path) -> None:
    """A TIFF of two frames becomes two pages of their size, a photograph stands upright."""
    path = tmp_path / "frames.tif"
    Image.new("1", (600, 400), 1).save(path, "TIFF", dpi=(144, 144), save_all=True, append_images=[Image.new("L", (200, 100), 9)])
    document = written(path, recognised(1, 300, 200))
    assert [tuple(map(round, page.rect[2:])) for page in document] == [(300, 200), (100, 50)]
    assert len(document[0].get_text("words")) == 4
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (600, 400), "gray").save(photo, "JPEG", exif=exif)
    page = written(photo)[0]
    assert page.rect.height > page.rect.width


@pytest.mark.parametrize("box", [(446.4, 0, 446.4, 14), (10, 60, 70, 60), (300, 200, 300, 200), (50, 50, 20, 20)])
@pytest.mark.parametrize("lean", [0, 6])
def test_a_word_without_an_area_is_found_all_the_same(tmp_path: Path, box: tuple[float, ...], lean: float) -> None:
    """Whatever box a reader gives, the PDF is written, with that word and the others."""
    level = [Word(f"word{n}", BoundingBox(10 + 60 * n, 20 + lean * n, 60 + 60 * n, 34 + lean * n), 0.9) for n in range(4)]
    odd = Word("on", BoundingBox(*box), None)
    lines = (Line.of(level), Line(odd.box, (odd,)), Line.of([level[0], odd]))
    block = Block(kind="paragraph", box=BoundingBox(0, 0, 300, 200), lines=lines)
    page = Page(number=1, width=300, height=200, route="vision", engine="x", state="DONE", blocks=(block,))
    found = written(scan(tmp_path), page)[0].get_text("words", clip=pymupdf.INFINITE_RECT())
    assert sorted(word[4] for word in found) == sorted(["word0", "word1", "word2", "word3", "on", "word0", "on"])


def cut_off(tmp_path: Path, share: float) -> Path:
    """The beginning of a PDF of two pages."""
    content = (EXAMPLES / "report.pdf").read_bytes()
    (tmp_path / "report.pdf").write_bytes(content[: round(len(content) * share)])
    return tmp_path / "report.pdf"


def overwritten(tmp_path: Path) -> Path:
    """A PDF of two pages of which the head is left, and noise behind it."""
    noise = random.Random(1).randbytes(2000)
    (tmp_path / "report.pdf").write_bytes((EXAMPLES / "report.pdf").read_bytes()[:300] + noise)
    return tmp_path / "report.pdf"


@pytest.mark.parametrize(("make", "first"), [(lambda to: cut_off(to, 0.5), "Harbour report"), (overwritten, LOST)])
def test_each_page_of_a_damaged_document_opens(tmp_path: Path, make: Callable[[Path], Path], first: str) -> None:
    """What is left of it is there, and in place of a page that is lost one that says so."""
    with written(make(tmp_path)) as document:
        assert not document.is_repaired
        texts = [document.load_page(number).get_text() for number in range(document.page_count)]
    assert len(texts) == 2
    assert texts[0].startswith(first)
    assert texts[1].strip() == LOST


def test_what_cannot_be_opened_when_it_was_written_is_not_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even that does not help there is no PDF, and a sentence."""
    monkeypatch.setattr(searchable_pdf, "_replace_lost", lambda path, pages: None)
    with pytest.raises(Corrupt, match="too broken to be written again"):
        written(cut_off(tmp_path, 0.5))


def test_a_frame_that_cannot_be_had_costs_the_others_nothing(tmp_path: Path) -> None:
    """A TIFF of three frames whose second is over a limit of the policy's."""
    path, frames = tmp_path / "frames.tif", [Image.new("L", size, 200) for size in ((300, 200), (900, 200), (300, 200))]
    frames[0].save(path, "TIFF", dpi=(72, 72), save_all=True, append_images=frames[1:])
    limits, out = Limits(max_pixels=100_000), tmp_path / "out.pdf"
    write_searchable_pdf(open_source(path, limits), path, [recognised(1, 300, 200)], out)
    with pymupdf.open(out) as document:
        assert [page.get_text().strip() == LOST for page in document] == [False, True, False]
        assert len(document[0].get_text("words")) == 4


def saved_picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (30, 30), "red").save(out, "PNG")
    return out.getvalue()


def armed(tmp_path: Path) -> Path:
    """A PDF with a script, a launch, an automatic action, an attachment, and a picture with one of their keys."""
    path = tmp_path / "armed.pdf"
    with pymupdf.open(stream=text_pdf("Harmless words"), filetype="pdf") as document:
        page = document[0]
        page.insert_link({"kind": pymupdf.LINK_LAUNCH, "from": pymupdf.Rect(0, 0, 9, 9), "file": "calc.exe"})
        page.insert_link({"kind": pymupdf.LINK_URI, "from": pymupdf.Rect(9, 9, 20, 20), "uri": "https://example.com/"})
        document.embfile_add("virus.exe", b"MZ-attached-bytes")
        catalog = document.pdf_catalog()
        document.xref_set_key(catalog, "OpenAction", "<</S/JavaScript/JS(app.alert\\(1\\))>>")
        script = document.get_new_xref()
        document.update_object(script, "<<>>")
        document.update_stream(script, b"app.alert(3) // in a stream")
        document.xref_set_key(catalog, "AcroForm", f"<</Fields[]/Hidden<</S/JavaScript/JS {script} 0 R>>>>")
        page.insert_image(pymupdf.Rect(100, 100, 120, 120), stream=saved_picture())
        document.xref_set_key(page.get_images()[0][0], "AF", "[]")
        document.xref_set_key(page.xref, "AA", "<</O<</S/JavaScript/JS(app.alert\\(2\\))>>>>")
        document.save(path)
    return path


def test_nothing_acts_and_links_stay(tmp_path: Path) -> None:
    """No script, launch, automatic action or attachment; the text and ordinary links are there."""
    path = armed(tmp_path)
    document = written(path)
    content = document.tobytes(expand=255)
    for danger in (b"/JavaScript", b"/JS", b"/Launch", b"/OpenAction", b"/AA", b"/EmbeddedFile", b"MZ-attached", b"app.alert(3)"):
        assert danger not in content, danger
    assert document.embfile_count() == 0
    assert document.extract_image(document[0].get_images()[0][0])["width"] == 30
    assert document[0].get_text().split() == ["Harmless", "words"]
    assert [link.get("uri") for link in document[0].get_links() if link["kind"] == pymupdf.LINK_URI] == ["https://example.com/"]


def test_the_catalog_holds_nothing_that_belongs_elsewhere(tmp_path: Path) -> None:
    """MuPDF leaves its name in the catalog of what it makes; a checker of PDF/A takes offence."""
    with pymupdf.open(scan(tmp_path)) as before:
        assert "Info" in before.xref_get_keys(before.pdf_catalog())
    after = written(tmp_path / "scan.pdf", recognised(1, 300, 200))
    assert after.xref_get_key(after.pdf_catalog(), "Info")[0] == "null"
    assert after.metadata["producer"] == "Escriba"


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """No date, no random id."""
    digests = set()
    for _ in range(2):
        path = scan(tmp_path)
        written(path, recognised(1, 300, 200)).close()
        digests.add(hashlib.sha256((tmp_path / "out.pdf").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.skipif(shutil.which("qpdf") is None, reason="qpdf is not installed")
@pytest.mark.parametrize("make", [scan, armed])
def test_qpdf_finds_no_fault(tmp_path: Path, make: object) -> None:
    """Structure, streams and cross references are sound."""
    written(make(tmp_path), recognised(1, 300, 200)).close()  # type: ignore[operator]
    done = subprocess.run(["qpdf", "--check", tmp_path / "out.pdf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
