"""Our figures are those of the scorers that lie beside the development documents, to 1e-9, on what we really read and on made-up texts."""

from __future__ import annotations

import html
import importlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from escriba.evaluation.scores import score_folder
from escriba.evaluation.summary import summarise
from escriba.evaluation.tables import score_tables, tables_in_html, tables_in_json, tables_in_markdown
from escriba.evaluation.texts import plain_text, score_digital, score_scan
from escriba.evaluation.truths import find_truths
from escriba.isolation import IsolatedReader
from escriba.local.in_memory import InMemoryPipeline
from escriba.policy import Policy
from tests.documents import DATA

pytestmark = pytest.mark.data
NEAR = 1e-9
FORMS = {
    "teds": "teds",
    "teds_struct": "struct",
    "found": "found",
    "exact": "exact",
    "f_teds": "f_teds",
    "f_struct": "f_struct",
    "tables": "true",
}
PIECES = [
    *(
        "harbour",
        "Ação",
        "c\u0327",
        "天气",
        "ﬁne",
        "don't",
        "(x).",
        "“quote”",
        "–",
        "$5.00",
        "x\u00ad",
        "\u200b",
        "م",
        "ẞ",
        "1º",
        "a_b",
        "5*3*2",
        "ſ",
    ),
    *(
        "# ",
        "## ",
        "- ",
        "* ",
        "> ",
        "**",
        "*",
        "`",
        "__",
        "\\*",
        "\\[",
        "&lt;",
        "&amp;amp;",
        "<b>",
        "</b>",
        "<lazy>",
        "<br/>",
        "[l](u)",
        "![i](u)",
    ),
    *("| a | b |", "|---|:-:|", "| 1 |", "---", "```", "<!-- page 2 -->", "<td colspan=2>", "\n", "\n\n", "\n", "\t", "\f", " "),
]


@pytest.fixture(scope="module")
def tool() -> Iterator[Callable[[str], ModuleType]]:
    """The scorers, each skipped with a reason where it cannot be imported."""
    folder = str(DATA.parent / "tools")
    sys.path.insert(0, folder)

    def load(name: str) -> ModuleType:
        if not (Path(folder) / f"{name}.py").is_file():
            pytest.skip(f"there is no {name}.py beside the development documents")
        return importlib.import_module(name)

    yield load
    sys.path.remove(folder)


def texts(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(PIECES) for _ in range(chance.randint(0, words)))


def disturbed(chance: random.Random, text: str) -> str:
    words = text.split(" ")
    for _ in range(chance.randint(0, 6)):
        place = chance.randrange(len(words))
        words[place] = chance.choice(["", chance.choice(PIECES), words[place][::-1], words[chance.randrange(len(words))]])
    return " ".join(words)


def test_made_up_scans(tool: Callable[[str], ModuleType]) -> None:
    """Markdown of every kind, CJK, accents, invisible characters, case folded and not."""
    scans, chance = tool("score_scans"), random.Random(7)
    for _ in range(400):
        truth = texts(chance, 40)
        read, fold = disturbed(chance, truth), chance.random() < 0.3
        assert plain_text(read) == scans.strip_markdown(read)
        ours, theirs = score_scan(truth, plain_text(read), fold=fold), scans.score_page(truth, scans.strip_markdown(read), fold)
        assert (ours.characters, ours.character_edits, ours.word_edits, ours.cjk) == (
            theirs["chars"], theirs["char_edits"], theirs["word_edits"], theirs["cjk"],
        )  # fmt: skip
        assert [ours.cer, ours.wer, ours.recall, ours.precision, ours.f1] == pytest.approx(
            [theirs[name] for name in ("cer", "wer", "recall", "precision", "f1")], abs=NEAR
        )


def test_made_up_digital_documents(tool: Callable[[str], ModuleType]) -> None:
    """Words, their order and the whole text."""
    theirs, chance = tool("score_text"), random.Random(8)
    for _ in range(400):
        truth = texts(chance, 40)
        read = disturbed(chance, truth)
        ours = score_digital(plain_text(truth), plain_text(read))
        wanted = theirs.compare(theirs.prepare(read, True), theirs.prepare(truth, True))
        assert [ours.recall, ours.precision, ours.f1, ours.order, ours.similarity] == pytest.approx(
            [wanted[name] for name in theirs.KEYS], abs=NEAR
        )


def table_html(chance: random.Random) -> str:
    def cell() -> str:
        spans = "".join(f' {name}="{chance.choice(["2", "3", "0", "x", ""])}"' for name in ("colspan", "rowspan") if chance.random() < 0.15)
        text = html.escape(chance.choice(["", "a", "b", "ab c", "12", "é", "ﬁ", "x < y"])) + chance.choice(
            ["", "", "<br>z", "<b>q</b>", "<br/>"]
        )
        return chance.choice([f"<td{spans}>{text}</td>", f"<th{spans}>{text}</th>"])

    rows = ["<tr>" + "".join(cell() for _ in range(chance.randint(0, 4))) + "</tr>" for _ in range(chance.randint(1, 6))]
    head, body = rows[:1], rows[1:]
    return f"<table><thead>{''.join(head)}</thead>\n<tbody>{' '.join(body)}</tbody></table>"


def test_made_up_tables(tool: Callable[[str], ModuleType]) -> None:
    """HTML with spans, heads, breaks and entities; several of them in Markdown with pipe tables; paired and not."""
    pytest.importorskip("lxml", reason="the tables' scorer parses with lxml")
    theirs, chance = tool("score_tables"), random.Random(9)
    for _ in range(60):
        truth, read = ("\n\ntext\n\n".join(table_html(chance) for _ in range(chance.randint(1, 4))) for _ in "ab")
        read = read if chance.random() < 0.5 else f"{truth}\n\n{read}"
        read += "\n\n| a | b\\|c |\n|---|---|\n| 1<br>2 | **3** |\n\n" * chance.randint(0, 1)
        for complete in (True, False):
            truths = tables_in_html(truth)[: None if complete else 1]
            ours = score_tables(tables_in_markdown(read), truths, complete=complete)
            wanted = theirs.score_document(
                theirs.tables_in_markdown(read), theirs.tables_in_html(truth)[: None if complete else 1], not complete
            )
            assert [(score.teds, score.struct) for score in ours] == [pytest.approx(figures[:2], abs=NEAR) for figures in wanted]
    value = {
        "a": [{"type": "table", "html": table_html(chance)}, {"html": table_html(chance)}, {"html": "x", "b": {"html": table_html(chance)}}]
    }
    assert len(tables_in_json(value)) == len(theirs.tables_in_json(value)) == 3


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What our pipeline makes of small documents of each folder, as it delivers them."""
    wanted = {
        "scans": ["sroie_004.jpg", "funsd_87125460.png"],
        "born_digital": [
            "right_to_left_01.pdf",
            "PDFBOX-3110-poems-beads.pdf",
            "normal_4pages.pdf",
            "multi_page.pdf",
            "odf_table_with_title_01_ods.pdf",
        ],
        "tables": [f"eu-0{n}.pdf" for n in ("01", "02", "04", "06", "07", "16", "18", "21")]
        + ["us-002.pdf", "twotables.pdf", "AnimalSounds.pdf"],
    }
    folders = {}
    with tempfile.TemporaryDirectory() as scratch, closing(IsolatedReader()) as reader:
        pipeline = InMemoryPipeline(reader=reader, scratch=Path(scratch))
        pipeline.ports.results.put("policies/default.json", Policy().model_dump_json().encode())
        jobs = {
            (folder, name): pipeline.upload(name, (DATA / folder / name).read_bytes()) for folder, names in wanted.items() for name in names
        }
        pipeline.run()
        for (folder, name), job in jobs.items():
            _, document = pipeline.result(job)
            assert document is not None
            folders.setdefault(folder, tmp_path_factory.mktemp(folder))
            out = folders[folder] / Path(name).stem
            out.mkdir()
            for key in pipeline.ports.results.keys(document.output_prefix):
                pipeline.ports.results.download(key, out / key.rpartition("/")[2])
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["scans", "born_digital", "tables"])
def test_what_we_really_read(tool: Callable[[str], ModuleType], read: dict[str, Path], folder: str) -> None:
    """Every document with a truth, those that were not read too; kinds, and the tables' totals."""
    scores = score_folder(find_truths(DATA / folder), DATA / folder, read[folder], "ours")
    ours = {Path(row.name).stem: row for row in scores.rows}
    assert sum(bool(row.output) for row in scores.rows) == len(list(read[folder].iterdir()))
    if folder == "scans":
        rows = tool("score_scans").score_folder(DATA / folder, read[folder])
        wanted = {row["name"]: (row["kind"], *(row[name] for name in ("cer", "wer", "recall", "precision", "f1"))) for row in rows}
        found = {
            name: (row.kind, *(getattr(row.scan, field) for field in ("cer", "wer", "recall", "precision", "f1")))
            for name, row in ours.items()
        }
    elif folder == "born_digital":
        rows, _ = tool("score_text").score(DATA / folder, read[folder])
        wanted = {row["name"]: tuple(row[name] for name in ("recall", "precision", "f1", "order", "edit")) for row in rows}
        found = {
            name: tuple(getattr(row.digital, field) for field in ("recall", "precision", "f1", "order", "similarity"))
            for name, row in ours.items()
        }
    else:
        pytest.importorskip("lxml", reason="the tables' scorer parses with lxml")
        rows, totals = tool("score_tables").score(DATA / folder, read[folder])
        wanted = {(row["name"], row["table"]): (row["teds"], row["struct"]) for row in rows}
        found = {(name, n): (table.teds, table.struct) for name, row in ours.items() for n, table in enumerate(row.tables or ())}
        everything = summarise(scores.rows)["tables"][-1]
        assert everything.macro["teds"].mean == pytest.approx(totals["all"]["doc_teds"], abs=NEAR)
        assert everything.micro == {mine: pytest.approx(totals["all"][theirs], abs=NEAR) for mine, theirs in FORMS.items()}
    assert found.keys() == wanted.keys()
    for name, figures in wanted.items():
        assert found[name][-5:] == pytest.approx(figures[-5:], abs=NEAR), name
        assert found[name][0] == pytest.approx(figures[0], abs=NEAR) if folder != "scans" else found[name][0] == figures[0], name
