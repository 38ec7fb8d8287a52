"""One suite that every installed engine passes: what it takes to be an engine of Escriba."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from escriba import engines
from escriba.document import Block
from escriba.errors import EngineMissing, EngineRejected
from escriba.policy import Policy
from escriba.ports import Engine, Reading
from escriba.sources.opening import Source, open_source
from tests.documents import EXAMPLES, picture, text_pdf

BUILT_IN = ("text_layer", "auto", "rapidocr", "tesseract")
POLICY = Policy(languages=("eng",))


@cache
def engine(name: str) -> Engine:
    return engines.load(name)


@pytest.fixture(params=sorted(engines.installed()))
def any_engine(request: pytest.FixtureRequest) -> Engine:
    return engine(request.param)


def source(tmp_path: Path, content: bytes) -> Source:
    path = tmp_path / "document"
    path.write_bytes(content)
    return open_source(path)


def read(any_engine: Engine, opened: Source) -> list[tuple[Block, ...]]:
    answers = any_engine.read([opened.page(n) for n in range(1, opened.page_count + 1)], POLICY)
    assert not any(isinstance(answer, EngineRejected) for answer in answers)
    return [tuple(answer.blocks) for answer in answers if isinstance(answer, Reading)]


def test_the_engines_are_installed() -> None:
    """The package brings four."""
    assert set(BUILT_IN) <= set(engines.installed())


def test_it_has_a_name_and_a_version(any_engine: Engine) -> None:
    """The name it is found by, and a version that goes into every reading's identity."""
    assert any_engine.name in engines.installed()
    assert any_engine.version


def test_it_answers_once_a_page_in_order(any_engine: Engine, tmp_path: Path) -> None:
    """Three pages in, three answers out, each with its own word."""
    answers = read(any_engine, source(tmp_path, text_pdf("Alpha", "Bravo", "Charlie", size=30)))
    assert [" ".join(line.text for block in blocks for line in block.lines) for blocks in answers] == ["Alpha", "Bravo", "Charlie"]


def test_its_boxes_lie_on_the_page(any_engine: Engine) -> None:
    """Words lie in their lines, lines in their blocks, blocks on the page, in points as displayed."""
    opened = open_source(EXAMPLES / "mixed.pdf")
    page = opened.page(3)
    [reading] = any_engine.read([page], POLICY)
    assert isinstance(reading, Reading)
    assert reading.blocks
    for block in reading.blocks:
        assert -1 <= block.box.x0 < block.box.x1 <= page.width + 1
        assert -1 <= block.box.y0 < block.box.y1 <= page.height + 1
        for line in block.lines:
            assert block.box.x0 - 1 <= line.box.x0 <= line.box.x1 <= block.box.x1 + 1
            for word in line.words:
                assert line.box.x0 - 1 <= word.box.x0 <= word.box.x1 <= line.box.x1 + 1
                assert word.confidence is None or 0 <= word.confidence <= 1
                assert word.text == word.text.strip() != ""


def test_a_blank_page_stays_blank(any_engine: Engine, tmp_path: Path) -> None:
    """Nothing is read where nothing is written."""
    assert read(any_engine, source(tmp_path, text_pdf(""))) == [()]


def test_it_reads_the_same_twice(any_engine: Engine) -> None:
    """The same page gives the same blocks."""
    opened = open_source(EXAMPLES / "report.pdf")
    assert read(any_engine, opened)[1] == read(any_engine, opened)[1]


def test_the_text_layer_refuses_an_image(tmp_path: Path) -> None:
    """An image has no text layer; a refusal is an answer, not an exception."""
    opened = source(tmp_path, picture("text"))
    [answer] = engine("text_layer").read([opened.page(1)], Policy())
    assert isinstance(answer, EngineRejected)


def test_listing_engines_imports_none_of_their_libraries() -> None:
    """`installed` looks at names only."""
    code = "import sys; from escriba.engines import installed; assert 'rapidocr' in installed(); print([m for m in ('rapidocr', 'pymupdf', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_an_unknown_engine_is_named_with_those_there_are() -> None:
    """The way out stands in the sentence."""
    with pytest.raises(EngineMissing, match=r"no engine named .nothing.*rapidocr, tesseract, text_layer"):
        engines.load("nothing")
