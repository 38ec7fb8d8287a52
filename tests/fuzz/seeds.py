"""Small sound files of every kind that Escriba reads, made by code: what the fuzzer damages."""

from __future__ import annotations

import io
import re
import struct
from functools import cache
from pathlib import Path

import pillow_heif
import pymupdf
from PIL import Image, ImageDraw

from tests.documents import EXAMPLES, picture

HERE = Path(__file__).parent
SECRET = "Segredo7391"
"""Stands in the text, the names and the passwords of the seeds; no sentence and no log line may ever hold it."""

pillow_heif.register_heif_opener()


@cache
def seeds() -> dict[str, bytes]:
    """Every seed by its name; all but the examples are smaller than 20 kB."""
    examples = {path.name: path.read_bytes() for path in (EXAMPLES / "mixed.pdf", EXAMPLES / "report.pdf", EXAMPLES / "recibo.jpg")}
    return examples | _pdfs() | _pictures()


def _pdfs() -> dict[str, bytes]:
    plain = _text()
    g4 = _stripped_tiff("group4")
    return {
        "text.pdf": plain.tobytes(no_new_id=True),
        "packed.pdf": plain.tobytes(no_new_id=True, deflate=True, garbage=4, use_objstms=1),
        # Encryption draws its salts afresh at each writing, so these two are kept: one page each, the first locked with SECRET.
        "aes256.pdf": (HERE / "aes256.pdf").read_bytes(),
        "restricted.pdf": (HERE / "restricted.pdf").read_bytes(),
        "portfolio.pdf": _portfolio(plain.tobytes(no_new_id=True, deflate=True)),
        "form.pdf": _form(),
        "outline.pdf": _outline(),
        "ccitt.pdf": _image_pdf("/CCITTFaxDecode", g4, "/DecodeParms<</K -1/Columns 200/Rows 80>>", bits=1),
        "jbig2.pdf": _image_pdf("/JBIG2Decode", _jbig2(g4, 200, 80), "", bits=1),
        "jpx.pdf": _image_pdf("/JPXDecode", picture(SECRET, "JPEG2000", (200, 80)), ""),
        "dct.pdf": _image_pdf("/DCTDecode", picture(SECRET, "JPEG", (200, 80)), ""),
    }


def _pictures() -> dict[str, bytes]:
    page = Image.open(io.BytesIO(picture(SECRET, "PNG", (200, 80))))
    small = Image.new("L", (60, 40), 200)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = 6, SECRET, 72.0
    several = {"save_all": True, "append_images": [small, small]}
    return {
        "grey.png": _saved(page.convert("L"), "PNG", dpi=(150, 150), exif=exif),
        "fax.png": _saved(page.convert("1"), "PNG"),
        "palette.png": _saved(page.convert("P"), "PNG", transparency=0),
        "deep.png": _saved(Image.new("I;16", (60, 40), 40_000), "PNG"),
        "exif.jpg": _saved(page, "JPEG", exif=exif, dpi=(150, 150), comment=SECRET),
        "progressive.jpg": _saved(page.convert("CMYK"), "JPEG", progressive=True),
        "pages-g4.tif": _saved(page.convert("1"), "TIFF", compression="group4", save_all=True, append_images=[small.convert("1")] * 2),
        "pages-lzw.tif": _saved(page, "TIFF", compression="tiff_lzw", dpi=(150, 150), **several),
        "jpeg.tif": _saved(page, "TIFF", compression="jpeg"),
        "raw.tif": _saved(page.convert("L"), "TIFF", tiffinfo={0x010E: SECRET}, **several),
        "big.tif": _saved(page.convert("L"), "TIFF", compression="tiff_deflate", big_tiff=True),
        "page.webp": _saved(page, "WEBP", exif=exif),
        "lossless.webp": _saved(page.convert("RGBA"), "WEBP", lossless=True),
        "film.gif": _saved(page.convert("P"), "GIF", comment=SECRET.encode(), **several),
        "page.bmp": _saved(page.convert("P"), "BMP"),
        "page.jp2": _saved(page, "JPEG2000"),
        "raw.j2k": _saved(page.convert("L"), "JPEG2000", no_jp2=True),
        "page.heic": _saved(page, "HEIF", exif=exif),
        "page.avif": _saved(page, "AVIF", exif=exif),
    }


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _text() -> pymupdf.Document:
    document = pymupdf.open()
    for number in range(3):
        page = document.new_page(width=300, height=200)
        page.insert_text((20, 40), f"{SECRET} page {number + 1}: words that a reader finds.", fontsize=11)
        page.draw_rect(pymupdf.Rect(20, 60, 120, 100))
        page.draw_line((20, 80), (120, 80))
    scan = document.new_page(width=300, height=200)
    scan.insert_image(scan.rect, stream=picture(SECRET, "JPEG", (200, 80)))
    document[1].set_rotation(90)
    document[2].set_cropbox(pymupdf.Rect(10, 10, 290, 190))
    document[0].insert_link({"kind": pymupdf.LINK_URI, "from": pymupdf.Rect(0, 0, 9, 9), "uri": f"https://example.com/{SECRET}"})
    return document


def _portfolio(part: bytes) -> bytes:
    document = pymupdf.open()
    document.new_page(width=200, height=100).insert_text((10, 40), "Cover")
    document.embfile_add(SECRET, part)
    document.embfile_add("photo.png", picture(SECRET, "PNG", (100, 40)))
    document.xref_set_key(document.pdf_catalog(), "Collection", "<</Type/Collection/View/D>>")
    return re.sub(rb"D:20\d{12}", b"D:20260101000000", document.tobytes(no_new_id=True))


def _form() -> bytes:
    document = pymupdf.open()
    page = document.new_page(width=300, height=200)
    for n, kind in enumerate((pymupdf.PDF_WIDGET_TYPE_TEXT, pymupdf.PDF_WIDGET_TYPE_CHECKBOX, pymupdf.PDF_WIDGET_TYPE_COMBOBOX)):
        widget = pymupdf.Widget()
        widget.field_name, widget.field_type = f"{SECRET}{n}", kind
        widget.rect = pymupdf.Rect(20, 20 + 40 * n, 150, 45 + 40 * n)
        if kind == pymupdf.PDF_WIDGET_TYPE_COMBOBOX:
            widget.choice_values = ["one", "two"]
        if kind == pymupdf.PDF_WIDGET_TYPE_TEXT:
            widget.field_value = SECRET
        page.add_widget(widget)
    page.add_freetext_annot(pymupdf.Rect(160, 20, 280, 60), SECRET)
    return bytes(document.tobytes(no_new_id=True))


def _outline() -> bytes:
    document = pymupdf.open()
    page = document.new_page(width=300, height=200)
    for n in range(30):
        page.draw_bezier((10 + 9 * n, 50), (20 + 9 * n, 20), (30 + 9 * n, 80), (40 + 9 * n, 50))
    document.set_toc([[1, SECRET, 1]])
    return bytes(document.tobytes(no_new_id=True))


def _image_pdf(filter_name: str, data: bytes, parameters: str, bits: int = 8) -> bytes:
    """One page of one picture in the coding that `filter_name` undoes; the stream stands in the file as it is."""
    colours = "" if filter_name == "/JPXDecode" else f"/ColorSpace{'/DeviceGray' if bits == 1 else '/DeviceRGB'}/BitsPerComponent {bits}"
    content = b"q 200 0 0 80 0 0 cm /I Do Q"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 80]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        f"<</Type/XObject/Subtype/Image/Width 200/Height 80{colours}/Filter{filter_name}{parameters}/Length {len(data)}>>stream\n".encode()
        + data
        + b"\nendstream",
    ]
    out, places = io.BytesIO(b"%PDF-1.7\n"), []
    out.seek(0, io.SEEK_END)
    for number, body in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 6\n0000000000 65535 f \n%strailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (table, out.tell())
    return out.getvalue() + end


def _stripped_tiff(compression: str) -> bytes:
    """The coded bytes of a TIFF of one strip, of 200 by 80 pixels."""
    image = Image.new("1", (200, 80), 1)
    ImageDraw.Draw(image).text((10, 30), SECRET, fill=0)
    content = _saved(image, "TIFF", compression=compression)
    with Image.open(io.BytesIO(content)) as again:
        [offset], [length] = again.tag_v2[273], again.tag_v2[279]
    return content[offset : offset + length]


def _jbig2(mmr: bytes, width: int, height: int) -> bytes:
    """A page and one region in fax coding (MMR), which JBIG2 shares with CCITT group 4."""

    def segment(number: int, kind: int, data: bytes) -> bytes:
        return struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data

    page = struct.pack(">IIIIBH", width, height, 0, 0, 0, 0)
    region = struct.pack(">IIIIBB", width, height, 0, 0, 0, 1) + mmr
    return segment(0, 48, page) + segment(1, 38, region)
