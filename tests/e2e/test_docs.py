"""The documentation tells the truth: its commands run, its links lead somewhere, its tables name every setting."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from escriba.alarms import ALARMS
from escriba.alarms.described import rewritten
from escriba.backends import Backend
from escriba.evaluation.facts import read_facts
from escriba.models import DEFAULT, catalogue
from escriba.models.described import rewritten as models_rewritten
from escriba.policy import Policy, parse_policy
from escriba.settings import Settings
from tests.documents import EXAMPLES, scribbles, text_pdf
from tests.engines.fake_server import OLLAMA, Says, fake
from tests.matrix.faults import FAULTS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ASKING = (
    ".venv/bin/escriba run scans --vision ollama",
    ".venv/bin/escriba run scans --vision ollama --model qwen3-vl-8b",
    ".venv/bin/escriba run scans --vision http://127.0.0.1:8000/v1 --model olmocr-2-7b-fp8",
    ".venv/bin/escriba run scans --policy external.toml --vision https://api.openai.com/v1 --model gpt-4o",
)
ELSEWHERE = {
    "make test": "it is what runs this test",
    "make package": "it needs a package index; tests/infra/test_packages.py packs with one of its own",
    "make test-packages": "it needs a package index, and is itself the test",
    "make diff TEMPLATE=before/Core.template.json": "it fetches the CDK's command line from npm",
    "make diff": "it needs an account",
    ".venv/bin/escriba doctor --aws": "it needs an account; tests/contract/test_doctor.py has one emulated",
    ".venv/bin/escriba doctor --stack escriba-dev-core": "it needs a stack; tests/contract/test_doctor.py has one emulated",
    ".venv/bin/escriba put examples/report.pdf --stack escriba-dev-core --tenant acme": "it needs a stack; tests/contract/test_places.py has one",
    ".venv/bin/escriba status report.pdf --stack escriba-dev-core": "the same",
    ".venv/bin/escriba get report.pdf --stack escriba-dev-core --to read": "the same",
    ".venv/bin/escriba show report.pdf --stack escriba-dev-core": "the same",
    ".venv/bin/escriba status --stack escriba-dev-core": "the same",
    ".venv/bin/escriba redrive --stack escriba-dev-core --reason memory --since 2h --dry-run": "the same",
    "make faults": "tests/matrix runs every fault",
    "make demo-break": "tests/e2e/test_demo.py runs it",
    "make deploy": "it needs an account",
    "make cdk DO=bootstrap": "it needs an account",
    'make cdk DO="destroy --all --context stage=dev"': "it needs an account",
    'make cdk DO="destroy Gpu --context stage=dev"': "it needs an account",
    ".venv/bin/escriba models mirror olmocr-2-7b-fp8 --to s3://my-weights/ocr": "it needs the hub; tests/contract/test_models_mirror.py has one",
    **dict.fromkeys(ASKING, "it needs a server; below it has one"),
    "make bench-gpu-worker": "it needs a vLLM and ten minutes; tests/gpu/test_bench.py and tests/vllm/test_bench.py try what it is made of",
    "make bench-gpu-tuning": "the same",
    "make bench-gpu-prepare OUT=pack": "it needs a package index and 5 GB of disk",
    "make check": "make test runs it before this test",
    ".venv/bin/python -m pytest tests/contract/test_engines.py -q --no-cov": "make test runs that suite",
}


def commands() -> list[str]:
    """Every indented command of every page, once, comments taken off."""
    found = [line for page in PAGES for line in re.findall(r"^ {4}((?:make|\.venv/bin/)[^\n]*)", page.read_text(), re.MULTILINE)]
    return list(dict.fromkeys(re.sub(r"\s+#.*", "", line).strip() for line in found))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is under version control, with this environment as its .venv and the README's own files to read."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
            os.utime(copy / name, (0, 0))  # older than this environment, which make would else install again for the copy
    (copy / ".venv").symlink_to(sys.prefix)
    for file, folder in (("invoice.pdf", "scans"), ("fatura.pdf", "digitalizacoes")):
        (copy / file).write_bytes(text_pdf("Invoice 41"))
        (copy / folder).mkdir()
        shutil.copy(EXAMPLES / "recibo.jpg", copy / folder)
    return copy


def test_there_are_commands_to_run() -> None:
    """The search for commands finds what the README promises."""
    assert {"make run", "make test"} <= set(commands())
    assert sum(" eval " in command for command in commands()) >= 3
    assert set(ELSEWHERE) <= set(commands())


@pytest.mark.no_cover
@pytest.mark.timeout(300)
def test_every_command_runs(checkout: Path) -> None:
    """In the order of the documentation, in a copy of the checkout, each ends with 0 and shows no traceback."""
    for command in commands():
        if command not in ELSEWHERE:
            done = subprocess.run(shlex.split(command), cwd=checkout, capture_output=True, text=True, timeout=200, check=False)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr, command
    assert (checkout / "out" / "report.html").is_file()
    assert (checkout / "read" / "invoice" / "document.md").is_file()
    assert (checkout / "out" / "eval" / "compare.html").is_file()


@pytest.mark.no_cover
@pytest.mark.timeout(200)
def test_every_command_that_asks_a_model_runs(checkout: Path) -> None:
    """Each stage's, a stand-in at loopback in its server's place: the hard page is sent to the model that the command names, and nothing else is needed."""
    assert set(ASKING) == {command for command in commands() if "--vision" in command}
    [policy] = [block for block in blocks("docs/models.md", "toml") if "[vision]" in block]
    (checkout / "external.toml").write_text(policy)
    (checkout / "scans" / "recibo.jpg").unlink()  # nobody asks a model about it
    (checkout / "scans" / "hand.png").write_bytes(scribbles(1))
    on_ollama = [entry.ollama for entry in catalogue().values() if entry.ollama]
    for number, command in enumerate(ASKING):
        words = shlex.split(command)
        name = words[words.index("--model") + 1] if "--model" in words else DEFAULT
        wanted = catalogue()[name].ollama if "ollama" in words else name
        with fake(Says("Recebido em mãos"), models=on_ollama if "ollama" in words else [name], owner=OLLAMA) as server:
            words = [server.base_url if word.startswith("http") else word for word in words]
            command_line = [*words, "--out", f"read-{number}", "--no-report"]
            done = subprocess.run(
                command_line,
                cwd=checkout,
                env=os.environ | {"OLLAMA_HOST": server.address, "ESCRIBA_VISION_KEY": "ours"},
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            assert {question["model"] for question in server.questions} == {wanted}, command


@pytest.mark.no_cover
def test_the_python_of_the_readme_runs() -> None:
    """It prints the first heading of the example."""
    [code] = blocks("README.md", "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Harbour report, first quarter", done.stderr


@pytest.mark.no_cover
def test_the_engine_of_the_guide_reads_a_page(tmp_path: Path) -> None:
    """Installed as its guide says, found by its entry point, named by a policy: its word comes out."""
    [code], [point, policy] = blocks("docs/add-an-engine.md", "python"), blocks("docs/add-an-engine.md", "toml")
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "blank.py").write_text(code)
    info = tmp_path / "blank-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blank\nVersion: 1\n")
    targets = tomllib.loads(point)["project"]["entry-points"]["escriba.engines"]
    (info / "entry_points.txt").write_text("[escriba.engines]\n" + "".join(f"{name} = {target}\n" for name, target in targets.items()))
    (tmp_path / "policy.toml").write_text(policy)
    done = subprocess.run(
        [sys.executable, "-m", "escriba", "run", EXAMPLES / "recibo.jpg", "--policy", tmp_path / "policy.toml", "--out", tmp_path / "out"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "recibo" / "document.txt").read_text().strip() == "blank"


def test_the_facts_of_the_guide_are_facts(tmp_path: Path) -> None:
    """Each line shown is accepted."""
    [facts] = blocks("docs/reading-quality.md", "json")
    (tmp_path / "a.facts.jsonl").write_text(facts)
    assert len(read_facts(tmp_path / "a.facts.jsonl")) == 4


def test_the_policy_of_the_readme_is_the_example() -> None:
    """And it is one that Escriba accepts."""
    [shown] = blocks("README.md", "toml")
    assert parse_policy(shown).model_copy(update={"name": "examples"}) == parse_policy((EXAMPLES / "policy.toml").read_text())


def test_every_setting_stands_in_the_configuration_with_its_default() -> None:
    """Policies by their dotted name and TOML default, settings by their environment variable."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = {cells[0]: cells[1] for cells in re.findall(r"^\| `([\w.]+)` \| `?([^|`]*?)`? ?\|", page, re.MULTILINE)}
    wanted = {name: _toml(value) for name, value in _leaves(Policy(), "")}
    for name, field in Settings.model_fields.items():
        wanted[f"ESCRIBA_{name.upper()}"] = "" if field.is_required() else str(field.default).replace("()", "[]")
    for name, field in Backend.model_fields.items():
        wanted[f"backend.{name}"] = "" if field.is_required() else _toml(field.default)
    assert rows == wanted


def _leaves(model: BaseModel, prefix: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        found += _leaves(value, f"{prefix}{name}.") if isinstance(value, BaseModel) else [(prefix + name, value)]
    return found


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_the_alarms_of_the_page_are_those_of_the_code() -> None:
    """Written by make docs, and not stale."""
    page = (ROOT / "docs" / "operations.md").read_text()
    assert rewritten(page) == page, "run make docs"
    for alarm in ALARMS:
        assert f"| `{alarm.name}` |" in page
    assert rewritten(page.replace("`canary-silent` |", "stale |")) == page
    with pytest.raises(ValueError, match="lacks the marks"):
        rewritten("a page without them")


def test_the_models_of_the_page_are_those_of_the_registry() -> None:
    """Written by make docs, and not stale; each command of the page names a model that is there."""
    page = (ROOT / "docs" / "models.md").read_text()
    assert models_rewritten(page) == page, "run make docs"
    for name in catalogue():
        assert f"| `{name}`" in page
    assert models_rewritten(page.replace("| `dots-ocr` |", "| stale |")) == page
    with pytest.raises(ValueError, match="lacks the marks"):
        models_rewritten("a page without them")


def test_the_incidents_name_faults_that_exist() -> None:
    """And the README counts faults and alarms as they are."""
    names = {fault.name for fault in FAULTS}
    assert set(re.findall(r"Proven by `([\w-]+)`", (ROOT / "docs" / "operations.md").read_text())) <= names
    assert {fault for alarm in ALARMS for fault in alarm.faults} <= names
    assert f"breaks {len(FAULTS)} things" in (ROOT / "README.md").read_text()
    assert f"which of the {len(ALARMS)} alarms" in (ROOT / "README.md").read_text()


def test_every_link_leads_somewhere() -> None:
    """Relative links name files of the checkout."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)
