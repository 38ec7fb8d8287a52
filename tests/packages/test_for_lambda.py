"""Every lock has a wheel for each of its pins on Lambda's Python and both of its processors, and what they unpack to is within AWS's limits."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from cdk import packages
from tests.packages import environment
from tests.packages.conftest import Figure

pytestmark = [pytest.mark.packages, pytest.mark.slow, pytest.mark.timeout(900)]
LOCKS = sorted(path.stem for path in environment.LOCKS.glob("*.txt"))
ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_wheel(lock: str, architecture: str, tmp_path: Path, record_property: Figure) -> None:
    """Pip finds a file with the lock's hash for each, without building anything; unpacked they stay under the limit of their kind."""
    file = environment.LOCKS / f"{lock}.txt"
    command = [packages.pip_python(), "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += [*packages.for_lambda(architecture), f"--dest={tmp_path}", f"--requirement={file}"]
    subprocess.run(command, check=True)
    wheels = sorted(tmp_path.glob("*.whl"))
    wanted = [line for line in file.read_text().splitlines() if "==" in line and "== 'emscripten'" not in line and "'win32'" not in line]
    assert len(wheels) == len(list(tmp_path.iterdir())) == len(wanted)
    machine = ARCHITECTURES[architecture]
    assert all(path.stem.endswith(("-any", machine)) for path in wheels)
    unpacked = sum(member.file_size for path in wheels for member in zipfile.ZipFile(path).infolist())
    record_property(f"wheels of {lock}, {architecture}", f"{len(wheels)}, unpacked {unpacked / 1e6:.0f} MB")
    assert unpacked < (10_000_000_000 if lock == "ocr" else packages.UNPACKED_LIMIT)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("function", sorted(set(LOCKS) - {"ocr"}))
def test_each_zip_is_within_the_limit(function: str, architecture: str, tmp_path: Path, record_property: Figure) -> None:
    """As the deployment packs it."""
    size = packages.bundle(function, architecture, tmp_path / "out")
    record_property(f"zip of {function}, {architecture}", f"{size / 1e6:.0f} MB of {packages.UNPACKED_LIMIT / 1e6:.0f}")
    assert environment.megabytes(tmp_path / "out") < 250 * 1.048576
    shutil.rmtree(tmp_path)


def test_a_pin_without_a_wheel_for_lambda_is_seen(tmp_path: Path) -> None:
    """A lock that knows the file for this machine alone does not resolve for the other processor."""
    entries = (environment.LOCKS / "quarantine.txt").read_text().replace("\\\n", " ").splitlines()
    [entry] = [entry for entry in entries if entry.startswith("msgspec==")]
    (tmp_path / "lock.txt").write_text(entry.split("--hash")[0] + "--hash=sha256:" + "0" * 64)
    command = [packages.pip_python(), "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *packages.for_lambda("arm64")]
    done = subprocess.run(
        [*command, f"--dest={tmp_path / 'out'}", f"--requirement={tmp_path / 'lock.txt'}"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
