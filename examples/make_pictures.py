"""Makes the README's pictures: reads examples/ with the whole pipeline and photographs what comes out in a browser."""

from __future__ import annotations

import argparse
import base64
import html
import io
import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import pymupdf
from PIL import Image

HERE = Path(__file__).parent
PICTURES = HERE.parent / "docs" / "pictures"
NEEDS = "make pictures needs a Chromium and the Python package playwright: put both in, say with 'pip install playwright' and 'playwright install'"
SHOWN = ("report.pdf, page 1", "recibo.jpg, page 1")  # of the report
# The page's empty lower part goes; the photograph stays whole.
CLIPPED = """
header { display: none } section { margin: 0 auto; padding: 1px 16px } article:nth-of-type(1) img { max-height: 19rem }
.pair > div { max-height: 36rem; overflow: hidden; padding: .8rem 1rem }
"""
SELECTED = (0.13, 0.45, 0.95)
STYLE = """
body { margin: 0; padding: 18px; background: #f4f5f7; color: #1c2430; font: 15px/1.45 system-ui, sans-serif; width: 1164px }
main { display: grid; grid-template-columns: 560px 586px; gap: 18px }
h2 { font-size: 15px; margin: 0 0 8px } h2 small { font-weight: normal; color: #57606a }
section + section { margin-top: 16px }
img { display: block; width: 558px; border: 1px solid #dfe3e8; border-radius: 8px }
pre { margin: 0; padding: 12px; background: #fff; border: 1px solid #dfe3e8; border-radius: 8px; white-space: pre-wrap; overflow-wrap: anywhere;
      font: 13px/1.5 ui-monospace, monospace }
"""


def main() -> int:
    """Write the pictures; 1 when there is no browser to take them with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURES)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        read = Path(name)
        subprocess.run([sys.executable, "-m", "escriba", "run", str(HERE), "--out", name], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        (read / "outputs.html").write_text(outputs_page(read / "digitalizacao"), "utf-8")
        try:
            shots = photographs(read)
        except ImportError:
            sys.stderr.write(NEEDS + "\n")
            return 1
    out.mkdir(parents=True, exist_ok=True)
    for file, png in shots.items():
        Image.open(io.BytesIO(png)).save(out / file, "WEBP", quality=80, method=6)
    return 0


def photographs(read: Path) -> dict[str, bytes]:
    """PNG bytes by the name of the picture. Raises ImportError when playwright or its browser is not there."""
    from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415  (not in the locks: only the README's pictures need it)

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        except Error as error:
            raise ImportError(NEEDS) from error
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto((read / "report.html").as_uri())
        page.evaluate(
            "names => document.querySelectorAll('article').forEach(a => names.some(n => a.innerText.startsWith(n)) || a.remove())",
            list(SHOWN),
        )
        page.add_style_tag(content=CLIPPED)
        shots = {"report.webp": page.locator("section").screenshot()}
        page.goto((read / "outputs.html").as_uri())
        shots["outputs.webp"] = page.locator("body").screenshot()
        browser.close()
    return shots


def outputs_page(folder: Path) -> str:
    """A page of HTML: the searchable PDF with its text selected, beside words of the JSON and a chunk."""
    document = json.loads((folder / "document.json").read_text("utf-8"))
    line = [line for block in document["pages"][0]["blocks"] for line in block["lines"]][1]
    words = "\n".join(json.dumps(word, ensure_ascii=False) for word in line["words"][:7])
    chunk = json.loads((folder / "chunks.jsonl").read_text("utf-8").splitlines()[0])
    picture = base64.b64encode(selected_page(folder / "document.pdf")).decode()
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><style>{STYLE}</style><main><section><h2>document.pdf <small>a scan, its text '
        f'selected</small></h2><img alt="" src="data:image/png;base64,{picture}"></section><div>'
        f"<section><h2>document.json <small>a line's words: text, box in points, confidence</small></h2><pre>{html.escape(words)}</pre></section>"
        f"<section><h2>chunks.jsonl <small>for retrieval</small></h2><pre>{html.escape(shortened(chunk))}</pre></section></div></main></html>"
    )


def shortened(chunk: dict[str, Any]) -> str:
    """A chunk as JSON, one key a line, its text cut."""
    chunk = chunk | {"text": textwrap.shorten(chunk["text"], 150, placeholder=" …")}
    return "{" + ",\n ".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in chunk.items()) + "}"


def selected_page(path: Path) -> bytes:
    """The upper half of the first page as a PNG, with a marker over each line of its invisible text."""
    with pymupdf.open(path) as document:
        page = document[0]
        text = [line for block in page.get_text("dict")["blocks"] for line in block.get("lines", ())]
        for line in text:
            mark = page.add_highlight_annot([pymupdf.recover_quad(line["dir"], span) for span in line["spans"]])
            mark.set_colors(stroke=SELECTED)
            mark.set_opacity(0.45)
            mark.update()
        box = pymupdf.Rect(20, 50, 470, 400)
        return bytes(page.get_pixmap(dpi=180, clip=box).tobytes("png"))


if __name__ == "__main__":
    sys.exit(main())
