"""From a folder of documents and truths to scores, summaries and comparisons; what a user can get wrong is told in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from escriba.errors import ConfigurationError
from escriba.evaluation.comparison import common, compare, most_different
from escriba.evaluation.comparison_page import Shown, comparison_html
from escriba.evaluation.readings import Reading
from escriba.evaluation.scores import (
    LAMBDA_USD_PER_GB_SECOND,
    READER_GB,
    Scored,
    Scores,
    read_scores,
    score_document,
    score_folder,
    write_scores,
)
from escriba.evaluation.split import half_of
from escriba.evaluation.summary import summarise
from escriba.evaluation.truths import choose, find_truths
from tests.documents import picture, text_pdf

TABLE = "<table><tr><td>k</td><td>1</td></tr></table>"
PRESENT = '{"type": "present", "text": "alpha"}\n'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two folders of documents, a manifest above them, and files that are no truths."""
    scans, pdfs = tmp_path / "data" / "scans", tmp_path / "data" / "pdfs"
    for folder in (scans, pdfs):
        folder.mkdir(parents=True)
    for name, text in (("book_page_1", "alpha beta"), ("book_page_2", "gamma"), ("sroie_1", "TOTAL"), ("letter", "delta"), ("lone", "x")):
        (scans / f"{name}.png").write_bytes(picture(text))
        if name != "lone":
            (scans / f"{name}.gt.txt").write_text(text)
    (scans / "nobody.gt.txt").write_text("a truth without its document")
    (pdfs / "deed.pdf").write_bytes(text_pdf("alpha", "omega"))
    (pdfs / "deed.gt.md").write_text("# alpha\n\nomega")
    (pdfs / "deed.gt.txt").write_text("not this one")
    (pdfs / "deed.expected.html").write_text(TABLE)
    (pdfs / "deed.facts.jsonl").write_text(PRESENT + '{"type": "present", "page": 2, "text": "alpha"}\n')
    (tmp_path / "data" / "manifest.csv").write_text(
        "path,source_repository,kind\nscans/book_page_1.png,x,book: old\nscans/book_page_2.png,x,book\n"
        "scans/sroie_1.png,x-SROIE,receipt\nscans/letter.png,x,handwriting\nelsewhere/deed.pdf,x,wrong\n"
    )
    return tmp_path / "data"


def outputs(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_truths_are_found_with_their_kinds(data: Path) -> None:
    """Documents with a truth of the same stem, in every folder; the kind up to its colon; receipts without case."""
    found = {truth.name: truth for truth in find_truths(data)}
    assert {name: truth.kind for name, truth in found.items()} == {
        "pdfs/deed.pdf": "unknown",
        "scans/book_page_1.png": "book",
        "scans/book_page_2.png": "book",
        "scans/letter.png": "handwriting",
        "scans/sroie_1.png": "receipt",
    }
    assert [truth.fold for truth in found.values()] == [False, False, False, False, True]
    deed = found["pdfs/deed.pdf"]
    assert (deed.picture, (deed.text() or "").split()) == (False, ["alpha", "omega"])
    assert [truth.name for truth in find_truths(data / "scans")] == ["book_page_1.png", "book_page_2.png", "letter.png", "sroie_1.png"]


def test_choosing(data: Path) -> None:
    """Halves part the documents, pages of one stay together; a kind is found by a part of its name; a limit draws the same ones."""
    truths = find_truths(data)
    halves = [choose(truths, half=half) for half in ("tuning", "reporting") if any(truth.half == half for truth in truths)]
    assert sorted(truth.name for part in halves for truth in part) == sorted(truth.name for truth in truths)
    assert all(half_of(truth.stem) == truth.half for truth in truths)
    assert [truth.kind for truth in choose(truths, kind="BOOK")] == ["book", "book"]
    two, three = choose(truths, limit=2), choose(truths, limit=3)
    assert len(two) == 2
    assert {truth.name for truth in two} <= {truth.name for truth in three}
    with pytest.raises(ConfigurationError, match="kinds are book, handwriting, receipt, unknown"):
        choose(truths, kind="newspaper")


def test_another_program_s_outputs_are_scored_by_the_same_rules(data: Path, tmp_path: Path) -> None:
    """Text, Markdown, folders and subfolders; what is missing counts as empty; the order of preference is the documents' own."""
    peer = outputs(tmp_path / "peer", book_page_1="alpha beta", sroie_1="total")
    (peer / "book_page_1.md").write_text("# not this one")
    (peer / "scans").mkdir()
    (peer / "scans" / "letter.md").write_text("**delta** delta")
    (peer / "deed").mkdir()
    (peer / "deed" / "document.md").write_text(f"<!-- page 1 -->\n\nalpha\n\n<!-- page 2 -->\n\nomega\n\n{TABLE}")
    scores = score_folder(find_truths(data), data, peer, "peer")
    rows = {Path(row.name).stem: row for row in scores.rows}
    assert {name: row.scan.cer for name, row in rows.items() if row.scan} == {
        "book_page_1": 0,
        "book_page_2": 1,
        "letter": 6 / 5,
        "sroie_1": 0,
    }
    deed = rows["deed"]
    assert deed.digital is not None
    assert (deed.digital.recall, deed.digital.precision) == (1, 1 / 2)  # the table's words are not in the truth
    assert [(table.teds, table.struct) for table in deed.tables or ()] == [(1, 1)]
    assert deed.facts is not None
    assert (deed.facts.passed, deed.facts.failed) == (1, (2,))
    assert {name: row.output for name, row in rows.items()} == {
        "deed": "deed", "book_page_1": "book_page_1", "book_page_2": "", "letter": "scans/letter", "sroie_1": "sroie_1",
    }  # fmt: skip
    assert (deed.seconds, deed.usd_per_1000_pages) == (None, None)


def test_other_forms_of_output(tmp_path: Path) -> None:
    """Form feeds part pages; JSON of any shape holds tables; numbered HTML files are one document's; a folder of JSON alone is read if it is ours."""
    folder = outputs(tmp_path / "out", a="one\ftwo")
    (folder / "a.1.html").write_text(TABLE)
    (folder / "a.2.html").write_text(TABLE)
    (folder / "b.json").write_text(json.dumps([{"html": TABLE}]))
    (folder / "c").mkdir()
    (folder / "c" / "document.json").write_text('{"other": {"type": "table", "html": "' + TABLE + '"}}')
    (folder / "d.json").write_text("{")
    assert [Reading(folder, "a").page(n).text for n in (1, 2, 3, None)] == ["one", "two", "", "one\ftwo"]
    assert [len(Reading(folder, name).tables() or []) for name in "abc"] == [2, 1, 1]
    assert (Reading(folder, "c").text(picture=True), Reading(folder, "e").tables(), Reading(folder, "e").found) == (None, None, False)
    with pytest.raises(ConfigurationError, match=r"d\.json is not JSON"):
        Reading(folder, "d").tables()


def test_the_cost_is_seconds_by_memory_by_price(data: Path, tmp_path: Path) -> None:
    """Taken from the ledger's rows in usage.json."""
    (tmp_path / "out" / "deed").mkdir(parents=True)
    (tmp_path / "out" / "deed" / "usage.json").write_text(
        json.dumps({"rows": [{"first": 1, "last": 3, "seconds": 3.0}, {"first": 4, "last": 4, "seconds": 5}]})
    )
    [deed] = choose(find_truths(data), kind="unknown")
    row = score_document(deed, tmp_path / "out", "deed")
    assert (row.pages, row.seconds) == (4, 8)
    assert row.usd_per_1000_pages == pytest.approx(1000 * 2 * READER_GB * LAMBDA_USD_PER_GB_SECOND)
    assert 0.05 < (row.usd_per_1000_pages or 0) < 0.2


def scored(name: str, kind: str, truth: str, read: str) -> Scored:
    from escriba.evaluation.texts import score_scan

    return Scored(name=name, kind=kind, half="tuning", picture=True, output="x", scan=score_scan(truth, read))


def test_totals_by_hand() -> None:
    """Kinds, then print without CJK, print, handwriting, all; macro averages cap a page at 1, micro ones weigh by length."""
    rows = [
        scored("a.png", "book", "abcd", "abcd"),
        scored("b.png", "book", "ab", "abcdef"),
        scored("c.png", "magazine", "天气", "天"),
        scored("d.png", "handwriting", "ab", ""),
    ]
    groups = {group.label: group for group in summarise(rows)["scans"]}
    assert list(groups) == ["book", "handwriting", "magazine", "print, no CJK", "print", "handwritten or mixed", "all"]
    assert {label: (group.pages, group.total) for label, group in groups.items()}["print, no CJK"] == (2, True)
    assert groups["book"].macro["cer"].mean == 1 / 2
    assert groups["book"].micro["cer"] == 4 / 6
    assert groups["print"].macro["cer"].mean == (0 + 1 + 1 / 2) / 3
    assert groups["all"].micro["cer"] == (0 + 4 + 1 + 2) / 10
    assert (groups["book"].macro["cer"].low, groups["book"].macro["cer"].high) == (0, 1)


def both() -> tuple[Scores, Scores]:
    a = [scored(f"{n}.png", "book", "abcd", "abcd" if n < 3 else "") for n in range(4)]
    b = [scored(f"{n}.png", "book", "abcd", "abcx" if n != 2 else "abcd") for n in range(5)]
    return tuple(Scores(reader=name, data="nowhere", outputs="nowhere", rows=tuple(rows)) for name, rows in (("a", a), ("b", b)))  # type: ignore[return-value]


def test_a_comparison_by_hand() -> None:
    """On the documents in common: two won, one tied, one lost; the difference is A - B."""
    a, b = both()
    comparison = compare(a, b)
    assert (comparison.documents, comparison.only_a, comparison.only_b) == (4, 0, 1)
    [book, *totals] = comparison.metrics["cer"]
    assert (book.label, book.wins, book.losses, book.ties) == ("book", 2, 1, 1)
    assert book.difference.mean == pytest.approx((-1 / 4 - 1 / 4 + 0 + 3 / 4) / 4)
    assert book.p == 1.0
    assert [total.label for total in totals] == ["print, no CJK", "print", "all"]
    assert [pair.a.name for pair, _ in most_different(common(a, b))] == ["3.png", "0.png", "1.png"]
    with pytest.raises(ConfigurationError, match="no document in common"):
        compare(a, msgspec.structs.replace(b, rows=()))


def test_scores_are_kept_and_what_is_broken_is_named(tmp_path: Path) -> None:
    """What is written is read; no folder, no scores and no JSON get a sentence each."""
    a, _ = both()
    write_scores(a, tmp_path / "a")
    assert read_scores(tmp_path / "a") == a
    with pytest.raises(ConfigurationError, match=r"holds no scores\.json"):
        read_scores(tmp_path)
    (tmp_path / "scores.json").write_text('{"rows": 1}')
    with pytest.raises(ConfigurationError, match="run escriba eval run again"):
        read_scores(tmp_path)


def test_the_page_is_safe() -> None:
    """Names and figures are escaped, the policy forbids scripts and loading."""
    a, b = both()
    comparison = msgspec.structs.replace(compare(a, b), a="<i>a")
    page = comparison_html(comparison, [("", "<b>")], [Shown(name="<script>x", figures="&", truth="t", a="", b="", picture=b"jpeg")], 3)
    assert "<script" not in page
    assert "<i>" not in page
    assert "<b>" not in page
    assert "default-src 'none'; img-src data:" in page
    assert "data:image/jpeg;base64," in page


def test_a_bad_manifest_and_an_empty_folder_are_named(data: Path, tmp_path: Path) -> None:
    """With what to do about it."""
    with pytest.raises(ConfigurationError, match="there is no folder"):
        find_truths(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"no truths in .*\.gt\.txt"):
        find_truths(tmp_path / "empty")
    (data / "manifest.csv").write_text("name,kind\na,b\n")
    with pytest.raises(ConfigurationError, match=r"manifest\.csv has no column named path"):
        find_truths(data)
    (data / "manifest.csv").write_bytes(b"path,kind\n\xff,b\n")
    with pytest.raises(ConfigurationError, match=r"cannot read .*manifest\.csv"):
        find_truths(data)
    (data / "manifest.csv").write_text("path,kind\nscans/letter.png\n")
    assert {truth.kind for truth in find_truths(data)} == {"unknown"}
    (data / "scans" / "letter.gt.txt").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        score_folder(find_truths(data), data, tmp_path, "x")
