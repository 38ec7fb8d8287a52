"""The README's pictures are there, small, and made by our own script from what the pipeline really gives."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from examples.make_pictures import NEEDS
from tests.documents import ROOT

PICTURES = ROOT / "docs" / "pictures"


@pytest.mark.parametrize("page", ["README.md", "README.pt.md"])
def test_each_picture_of_the_readme_is_there_and_described(page: str) -> None:
    """Both languages show the same pictures, each with a text for those who do not see it; none lies there unshown."""
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (ROOT / page).read_text("utf-8"))
    assert {ROOT / path for _, path in shown} == set(PICTURES.iterdir())
    assert all(len(text) > 20 for text, _ in shown)


def test_the_pictures_are_small() -> None:
    """Together under 300 kB, and no wider than a page of text is shown."""
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 300_000
    for path in PICTURES.iterdir():
        with Image.open(path) as picture:
            assert picture.width <= 1200


@pytest.mark.no_cover
def test_without_a_browser_the_script_says_what_is_missing(tmp_path: Path) -> None:
    """It reads the examples, builds its page, and ends with one sentence; no picture is touched."""
    # None in sys.modules is how Python says that there is no such package, wherever it may be installed.
    code = "import sys; sys.modules['playwright'] = None; from examples import make_pictures; sys.exit(make_pictures.main())"
    command = [sys.executable, "-c", code, "--out", str(tmp_path / "pictures")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, NEEDS), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pictures").exists()
    assert len(NEEDS.splitlines()) == 1


@pytest.mark.no_cover
def test_the_page_that_is_photographed_shows_what_was_read(tmp_path: Path) -> None:
    """The words and boxes of the JSON, the chunk, and a page with its marked text; found in a real run's output."""
    from examples.make_pictures import HERE, outputs_page, selected_page

    command = [sys.executable, "-m", "escriba", "run", str(HERE / "digitalizacao.pdf"), "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    page = outputs_page(tmp_path / "digitalizacao")
    assert "[&quot;Padaria&quot;, [" in page
    assert "&quot;tokens&quot;" in page
    (tmp_path / "page.png").write_bytes(selected_page(tmp_path / "digitalizacao" / "document.pdf"))
    with Image.open(tmp_path / "page.png") as picture:
        red, _, blue = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert blue - red > 15, "nothing is marked"
