"""`escriba eval` as a person uses it: pages with truths are read, scored and compared by real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.documents import EXAMPLES, orders_pdf, picture
from tests.e2e.test_run import escriba, obedient

PAGES = {"harbour": "The harbour was quiet", "citrus_page_1": "Citrus and grain", "citrus_page_2": "Rope <anchor> signal"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three drawn pages, the text each was drawn from, a fact, and a manifest."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, text in PAGES.items():
        (folder / f"{name}.png").write_bytes(picture(text))
        (folder / f"{name}.gt.txt").write_text(text)
    (folder / "harbour.facts.jsonl").write_text(
        '{"type": "present", "text": "harbour was", "max_diffs": 1}\n{"type": "absent", "text": "grain"}\n'
    )
    (folder / "manifest.csv").write_text("path,kind\nharbour.png,letter: drawn\ncitrus_page_1.png,book\ncitrus_page_2.png,book\n")
    return folder


@pytest.fixture
def peer(tmp_path: Path) -> Path:
    """Another program's outputs: one page right, one wrong, one missing."""
    folder = tmp_path / "peer"
    folder.mkdir()
    (folder / "harbour.txt").write_text(PAGES["harbour"])
    (folder / "citrus_page_1.md").write_text("# Citrvs **and** grain <svg>")
    return folder


def test_readers_are_scored_side_by_side_and_compared(data: Path, peer: Path, tmp_path: Path) -> None:
    """An engine and another program's folder in one table and one JSON object; then who won, and a page that shows it."""
    out = tmp_path / "out"
    command = ("eval", "run", "--data", data, "--reader", "rapidocr", "--reader", peer, "--out", out, "--workers", 1)
    done = escriba(*command)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 130
    for words in (
        "book (2)",
        "letter (1)",
        "print, no CJK (3)",
        "  rapidocr",
        "  peer",
        "Facts that hold",
        "USD",
        "nothing was delivered for 1 of 3",
    ):
        assert words in done.stdout
    report = json.loads(escriba(*command, "--json").stdout)
    ours, theirs = (report["readers"][name] for name in ("rapidocr", "peer"))
    assert [group["label"] for group in ours["scans"]] == ["book", "letter", "print, no CJK", "print", "all"]
    assert ours["scans"][-1]["macro"]["cer"]["mean"] < 0.1
    assert ours["scans"][-1]["documents"] == 2  # two pages are one document's
    assert theirs["scans"][-1]["macro"]["cer"]["mean"] > 0.4
    assert ours["facts"][-1]["micro"] == {"facts": 1.0, "passed": 2, "total": 2}
    assert ours["cost"][-1]["macro"]["seconds"]["mean"] > 0
    assert "cost" not in theirs
    compared = escriba("eval", "compare", out / "rapidocr", out / "peer")
    assert compared.returncode == 0, compared.stderr
    assert "paired permutation test over documents" in compared.stdout
    page = (out / "compare.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert page.index("citrus_page_2.png") < page.index("citrus_page_1.png")  # nothing at all is worse than a wrong word
    assert "<mark>Citrvs</mark>" in page
    assert "&lt;anchor&gt;" in page
    assert "<mark>&lt;svg&gt;</mark>" in page
    assert "<svg" not in page
    assert "default-src 'none'" in page


def test_another_run_reads_nothing_twice_and_documents_in_common_are_compared(data: Path, tmp_path: Path) -> None:
    """A policy as a reader; the second run scores what is there; --limit and --kind choose; what only one has is told."""
    policy, environ = obedient(tmp_path)
    for name in PAGES:
        (data / f"{name}.png").unlink()
        (data / f"{name}.pdf").write_bytes(orders_pdf([0] * len(name)))
    command = ("eval", "run", "--data", data, "--reader", policy, "--workers", 1)
    first = escriba(*command, "--out", tmp_path / "all", environ=environ)
    assert first.returncode == 0, first.stderr
    calls = (tmp_path / "log").read_text()
    assert len(calls.splitlines()) == sum(map(len, PAGES))
    before = (tmp_path / "all" / "policy" / "scores.json").read_bytes()
    assert escriba(*command, "--out", tmp_path / "all", environ=environ).returncode == 0
    assert (tmp_path / "log").read_text() == calls
    assert (tmp_path / "all" / "policy" / "scores.json").read_bytes() == before
    assert escriba(*command, "--out", tmp_path / "books", "--kind", "BOOK", environ=environ).returncode == 0
    compared = escriba("eval", "compare", tmp_path / "books" / "policy", tmp_path / "all" / "policy", "--html", tmp_path / "x.html")
    assert compared.returncode == 0, compared.stderr
    assert "0 documents that only A has, 1 that only B has" in compared.stdout
    assert (tmp_path / "x.html").is_file()
    compared = escriba("eval", "compare", tmp_path / "books" / "policy", tmp_path / "all" / "policy", "--json")
    assert json.loads(compared.stdout)["documents"] == 2


@pytest.mark.no_cover
def test_the_examples_are_read_without_an_error(tmp_path: Path) -> None:
    """Their truths are what they were drawn from: every word, table and fact is there."""
    done = escriba("eval", "run", "--data", EXAMPLES, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["readers"]["default"]
    assert found["facts"][-1]["micro"] == {"facts": 1.0, "passed": 4, "total": 4}
    assert found["tables"][-1]["micro"]["teds"] == 1
    assert found["scans"][-1]["macro"]["word_f1"]["mean"] > 0.95
    assert found["digital"][-1]["macro"]["text_f1"]["mean"] > 0.95


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--data", "nowhere"], "there is no folder nowhere"),
        (["run", "--data", "EMPTY"], "no truths in"),
        (["run", "--data", "DATA", "--reader", "abbyy"], "there is no engine named 'abbyy'; installed are"),
        (["run", "--data", "DATA", "--reader", "x/abbyy"], "there is no folder x/abbyy; a reader is"),
        (["run", "--data", "DATA", "--reader", "nowhere.toml"], "cannot read the policy file nowhere.toml"),
        (["run", "--data", "DATA", "--kind", "newspaper"], "kinds are book, letter"),
        (["run", "--data", "DATA", "--reader", "EMPTY", "--out", "FILE"], "choose another folder with --out"),
        (["run", "--data", "DATA", "--out", "FILE"], "choose another folder with --out"),
        (["run", "--data", "BADFACT"], "b.facts.jsonl, line 1, is no fact"),
        (["run", "--data", "BADMANIFEST"], "manifest.csv has no column named path"),
        (["compare", "EMPTY", "EMPTY"], "holds no scores.json"),
        (["compare", "nowhere", "EMPTY"], "holds no scores.json"),
        (["run"], "Missing option"),
    ],
)
def test_each_mistake_gets_one_sentence_and_status_2(data: Path, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """What a user can do wrong is told in a sentence with the way out, never in a traceback."""
    places = {"DATA": data, "FILE": tmp_path / "file"} | {name: tmp_path / name for name in ("EMPTY", "BADFACT", "BADMANIFEST")}
    places["FILE"].touch()
    for name in ("EMPTY", "BADFACT", "BADMANIFEST"):
        places[name].mkdir()
    for name in ("BADFACT", "BADMANIFEST"):
        (places[name] / "b.png").write_bytes(picture("b"))
    (places["BADFACT"] / "b.facts.jsonl").write_text("{}\n")
    (places["BADMANIFEST"] / "b.gt.txt").write_text("b")
    (places["BADMANIFEST"] / "manifest.csv").write_text("name\nb\n")
    given = [str(places.get(argument, argument)) for argument in arguments]
    out = [] if "--out" in given or given[0] == "compare" else ["--out", str(tmp_path / "out")]
    done = escriba("eval", *given, *out)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.no_cover
def test_without_its_library_the_command_says_how_to_install_it(data: Path, tmp_path: Path) -> None:
    """And reading documents does not need it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u, sys\nsys.modules['rapidfuzz'] = None\nreal = u.find_spec\nu.find_spec = lambda name, *a: None if name == 'rapidfuzz' else real(name, *a)\n"
    )
    environ = {"PYTHONPATH": str(tmp_path)}
    done = escriba("eval", "run", "--data", data, "--out", tmp_path / "out", environ=environ)
    assert done.returncode == 2
    assert "pip install 'escriba[eval]'" in done.stderr
    assert escriba("run", data / "harbour.png", "--out", tmp_path / "out", "--no-report", environ=environ).returncode == 0
