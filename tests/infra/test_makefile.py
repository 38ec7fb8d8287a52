"""`make diff TEMPLATE=file`: beside the stack whose template the file is, and beside no other."""

from __future__ import annotations

import subprocess

import pytest

from tests.documents import ROOT


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In the checkout, with the environment taken for made."""
    command = ["make", "--no-print-directory", "--old-file", ".venv/.cdk", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("stack", ["Core", "Observability", "Gpu"])
def test_a_template_is_compared_with_its_own_stack(stack: str) -> None:
    """By its name, for nothing else in it tells what it was."""
    done = make("--dry-run", "diff", f"TEMPLATE=before/{stack}.template.json")
    assert done.returncode == 0, done.stderr
    assert f"diff --app cdk.out --template before/{stack}.template.json {stack}\n" in done.stdout


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (
            "before.json",
            "before.json is named as no stack's template: call it Core.template.json, Observability.template.json or Gpu.template.json",
        ),
        ("before/Cdk.template.json", "before/Cdk.template.json is named as no stack's template"),
        ("before/Gpu.template.json", "there is no before/Gpu.template.json"),
        ("cdk.out/Gpu.template.json", "make diff writes cdk.out/Gpu.template.json itself; compare with a copy of it"),
    ],
)
def test_another_file_is_refused_in_one_sentence(file: str, sentence: str) -> None:
    """Before anything is made or fetched."""
    done = make("diff", f"TEMPLATE={file}")
    assert done.returncode == 2
    assert done.stdout.startswith(sentence)
    assert done.stdout.count("\n") == 1
