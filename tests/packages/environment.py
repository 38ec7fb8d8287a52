"""A Python as bare as Lambda's, a lock installed into a folder for it, and a handler run from that folder with nothing else to import.

Lambda's Python is LAMBDA_PYTHON, else `python3.13` where there is one, else the Python that runs here, for which a pin may need another version.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from cdk import packages
from cdk.deployment import ROOT

LOCKS = ROOT / "lambdas" / "requirements"
_OURS = ("AWS_", "COV", "ESCRIBA_", "PYTHON", "VIRTUAL_ENV")

# As the runtime does: the handler is imported by the path that the function is deployed with, from the folder it starts in.
_INVOKE = """
import json, sys, sysconfig
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
module, name = sys.argv[1].rsplit(".", 1)
context = SimpleNamespace(
    function_name=module, memory_limit_in_mb=512, aws_request_id="1", invoked_function_arn=sys.argv[2],
    function_version="$LATEST", get_remaining_time_in_millis=lambda: 60_000,
)
answer = getattr(import_module(module), name)(json.load(sys.stdin), context)
homes = [Path.cwd().resolve(), *(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib"))]
files = {name: Path(found.__file__).resolve() for name, found in sys.modules.items() if getattr(found, "__file__", None)}
strangers = [name for name, file in files.items() if not any(file.is_relative_to(home) for home in homes) or "site-packages" in file.parts]
print(json.dumps({"answer": answer, "strangers": strangers}))
"""


def surroundings(prefix: Path) -> dict[str, str]:
    """This process's environment without what is Python's, the tests' or an account's; `prefix`/bin is looked at first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"PATH": f"{prefix / 'bin'}:{os.defpath.lstrip(':')}", "PYTHONDONTWRITEBYTECODE": "1"}


def lambda_python() -> str:
    """The interpreter to run functions on; it has pip."""
    found = shutil.which(os.environ.get("LAMBDA_PYTHON", f"python{packages.PYTHON}"))
    if found is not None and subprocess.run([found, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return found
    return packages.pip_python()


def bare_python(folder: Path) -> Path:
    """An environment with nothing installed, not even pip: `python` in it is the interpreter, `pip` installs for it."""
    base = lambda_python()
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    pip = folder / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {base} -m pip --python {folder}/bin/python --disable-pip-version-check "$@"\n')
    pip.chmod(0o755)
    return folder


def lock_for(prefix: Path, lock: Path) -> tuple[str, set[str]]:
    """The lock as this interpreter can take it, and the packages of which it takes the version that requirements/runtime.txt has for it."""
    command = [prefix / "bin" / "python", "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if version.startswith(f"{packages.PYTHON}."):
        return lock.read_text(), set()
    here = {"python_full_version": version, "python_version": version.rpartition(".")[0]}
    pins = [(Requirement(entry.split("--hash")[0]), entry) for entry in _entries(ROOT / "requirements" / "runtime.txt")]
    ours = {pin.name: (pin.specifier, entry) for pin, entry in pins if pin.marker is None or pin.marker.evaluate(here)}
    text, replaced = "", set()
    for entry in _entries(lock):
        pin = Requirement(entry.split("--hash")[0])
        fits = pin.name not in ours or ours[pin.name][0] == pin.specifier
        text += (entry if fits else ours[pin.name][1]) + "\n"
        replaced |= set() if fits else {pin.name}
    return text, replaced


def _entries(lock: Path) -> list[str]:
    return lock.read_text().replace("\\\n", " ").splitlines()


def install(prefix: Path, lock: Path, target: Path) -> None:
    """Exactly what the lock names, for this interpreter, and our own packages as they are packed. Raises when pip fails."""
    text, _ = lock_for(prefix, lock)
    taken = target.with_name(f"{target.name}.txt")
    taken.write_text(text)
    options = ["--quiet", "--no-compile", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    subprocess.run(["pip", "install", *options, f"--target={target}", f"--requirement={taken}"], env=surroundings(prefix), check=True)
    packages.add_ours(target)


def invoke(prefix: Path, task_root: Path, handler: str, event: Any, environment: Mapping[str, str]) -> Any:
    """The handler's answer to one event. Raises AssertionError with its own words when it ends otherwise, or imports from elsewhere."""
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{handler.split('.')[1]}"
    done = subprocess.run(
        [prefix / "bin" / "python", "-c", _INVOKE, handler, arn],
        cwd=task_root,
        env={"PYTHONDONTWRITEBYTECODE": "1", "LAMBDA_TASK_ROOT": str(task_root), **environment},
        input=json.dumps(event),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    *said, last = done.stdout.splitlines()
    told = json.loads(last)
    assert told["strangers"] == []
    assert told["answer"] == ({"batchItemFailures": []} if "Records" in event else {}), said
    return told["answer"]


def megabytes(folder: Path) -> float:
    """What the files of a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
