"""`escriba eval guards` as a person uses it: drawn pages are read, adversarial answers judged, the outcome told by table, JSON and status."""

from __future__ import annotations

import json
from pathlib import Path

import pymupdf
import pytest

from tests.documents import DATA
from tests.e2e.test_run import escriba

LINES = (
    "Padaria Central do Alentejo\nFatura 2024/{n}187 de 03/11/2024\nPao de centeio 24 unidades 36,48\nBroa de milho 15 unidades 41,25\n"
    "Farinha de trigo saco de 25 kg 18,90\nTotal a pagar 112,{n}3\nObrigado pela sua preferencia"
)
HARBOUR = (
    "The keeper of the harbour wrote {n}{n}4 letters\nto the owners of the ships in 1887\nand they were all about the light\n"
    "which had not been seen for {n}1 nights\nbecause of the fog that stood on the water\nuntil the end of the winter of 1888"
)


def page(text: str) -> bytes:
    """A picture of a page, A5 at 150 dots per inch."""
    document = pymupdf.open()
    sheet = document.new_page(width=420, height=595)
    sheet.insert_text((40, 60), text.split("\n"), fontsize=13, lineheight=1.8)
    return bytes(sheet.get_pixmap(dpi=150).tobytes("png"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four drawn pages with their texts, two in each half."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, text in {
        "fatura": LINES.format(n=1),
        "recibo": LINES.format(n=7),
        "harbour": HARBOUR.format(n=2),
        "carta": HARBOUR.format(n=5),
    }.items():
        (folder / f"{name}.png").write_bytes(page(text))
        (folder / f"{name}.gt.txt").write_text(text)
    return folder


def test_answers_are_judged_and_the_targets_kept(data: Path, tmp_path: Path) -> None:
    """A table for people, one object for programs, each verdict in a file; the second run reads nothing again."""
    out = tmp_path / "out"
    command = ("eval", "guards", "--data", data, "--out", out, "--workers", 1)
    done = escriba(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "endless loop",
        "invention on a blank page",
        "swapped digits",
        "ground truth",
        "tuning",
        "reporting",
        "UNGROUNDED",
        "Refused by",
    ):
        assert words in done.stdout
    again = escriba(*command, "--json")
    assert again.returncode == 0
    report = json.loads(again.stdout)
    assert report["missed"] == []
    halves = report["halves"]
    assert {half["pages"] for half in halves.values()} == {2}
    counts = {count["kind"]: count for count in halves["reporting"]["counts"]}
    assert counts["ground truth"]["refused"] == 0
    assert counts["empty"]["refused"] == counts["empty"]["answers"] == 2
    assert counts["invention on a blank page"]["answers"] == 4  # two blank pages
    assert counts["all swapped digits and dates"]["answers"] >= 6
    rows = json.loads((out / "guards.json").read_text())
    assert (
        sum(row["half"] == "reporting" for row in rows) == counts["all adversarial answers"]["answers"] + counts["ground truth"]["answers"]
    )
    assert "Padaria" not in (out / "guards.json").read_text()


@pytest.mark.no_cover
def test_a_missed_target_is_told_and_ends_with_status_1(data: Path, tmp_path: Path) -> None:
    """Truths that are not what the pages say are refused, which must not happen to one in twenty; the command says so."""
    for path in data.glob("*.gt.txt"):
        path.write_text(path.read_text().replace("2024", "2042").replace("188", "138"))
    done = escriba("eval", "guards", "--data", data, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 1
    assert "Missed: ground truth: 2 of 2 were refused, which must be at most 5%." in done.stdout


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere"], "there is no folder nowhere"),
        (["--data", "DATA", "--kind", "newspaper"], "no document is left of kind"),
        (["--data", "DATA", "--policy", "nowhere.toml"], "cannot read the policy file nowhere.toml"),
        (["--data", "DATA", "--out", "DATA/fatura.png"], "choose another folder with --out"),
    ],
)
def test_each_mistake_gets_one_sentence_and_status_2(data: Path, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """Told in a sentence with the way out."""
    given = [argument.replace("DATA", str(data)) for argument in arguments]
    done = escriba("eval", "guards", *given, *([] if "--out" in given else ["--out", str(tmp_path / "out")]))
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.no_cover
@pytest.mark.data
@pytest.mark.timeout(300)
def test_a_few_real_pages(tmp_path: Path) -> None:
    """Receipts of the development set: true answers pass, nine adversarial ones in ten are refused in either half."""
    done = escriba(
        "eval", "guards", "--data", DATA / "scans", "--out", tmp_path, "--kind", "receipt", "--limit", 6, "--workers", 2, "--json"
    )
    report = json.loads(done.stdout)
    assert set(report["halves"]) == {"tuning", "reporting"}
    for half in report["halves"].values():
        counts = {count["kind"]: count for count in half["counts"]}
        adversarial = counts["all adversarial answers"]
        assert adversarial["refused"] >= 0.9 * adversarial["answers"]
        assert counts["ground truth"]["refused"] <= 1
