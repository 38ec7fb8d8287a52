"""How a function's code gets to AWS: an image where OCR is needed, else a zip that pip fills without Docker."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_lambda as lambda_

from cdk.deployment import ROOT, Deployment

PYTHON = "3.13"
IMAGED = frozenset({"split_document", "recognise_pages", "read_with_api"})
"""Split is here too: a reading's identity names the engines' versions, so it must see the very engines that will read."""
UNPACKED_LIMIT = 250 << 20
"""Bytes that AWS takes of an unpacked zip."""
_GLIBC = range(17, 35)  # Amazon Linux 2023 has 2.34; wheels name the oldest they work with


def image(function: str, deployment: Deployment) -> lambda_.DockerImageCode:
    """One image for all of `IMAGED`: only the command differs."""
    platform = {"x86_64": assets.Platform.LINUX_AMD64, "arm64": assets.Platform.LINUX_ARM64}[deployment.architecture]
    return lambda_.DockerImageCode.from_image_asset(
        str(ROOT),
        file="lambdas/Dockerfile",
        cmd=[f"lambdas.{function}.handler"],
        platform=platform,
        exclude=["gpu_service"],  # in the same context for an image of its own
    )


def archive(function: str, deployment: Deployment) -> lambda_.Code:
    """The zip of one function: what `lambdas/requirements/<function>.txt` pins, and our own packages."""
    return lambda_.Code.from_asset(
        str(ROOT),
        asset_hash_type=cdk.AssetHashType.OUTPUT,
        bundling=cdk.BundlingOptions(
            image=cdk.DockerImage.from_registry("unused"),
            # Not run: the CDK takes two assets of one folder for the same unless their options differ.
            command=[function, deployment.architecture],
            local=_Bundling(function, deployment.architecture),
        ),
    )


@jsii.implements(cdk.ILocalBundling)
class _Bundling:
    def __init__(self, function: str, architecture: str) -> None:
        self._function, self._architecture = function, architecture

    def try_bundle(self, output_dir: str, _options: Any = None, **_: Any) -> bool:
        bundle(self._function, self._architecture, Path(output_dir))
        return True


def bundle(function: str, architecture: str, out: Path) -> int:
    """Fill `out` with a function's code for Lambda's Linux, whatever this machine is; returns bytes. Raises when pip fails or it is too much."""
    requirements = ROOT / "lambdas" / "requirements" / f"{function}.txt"
    command = [pip_python(), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile", "--no-deps"]
    command += [*for_lambda(architecture), "--require-hashes", f"--target={out}", f"--requirement={requirements}"]
    subprocess.run(command, check=True)  # noqa: S603  (our own lock)
    add_ours(out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    if size > UNPACKED_LIMIT:
        raise ValueError(f"{function} is {size >> 20} MiB unpacked, AWS takes {UNPACKED_LIMIT >> 20}: make it one of the image's functions")
    return size


def for_lambda(architecture: str) -> list[str]:
    """Pip's options for a function's machine, whatever this one is."""
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[architecture]
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in reversed(_GLIBC)] + [f"--platform=manylinux2014_{machine}"]
    # What a package asks of Python, pip would compare with the one it runs on; the lock was made for Lambda's.
    return ["--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp", *platforms, "--ignore-requires-python"]


def add_ours(out: Path) -> None:
    """Beside what pip has put into `out`: our own packages; away with the commands, which nobody calls there."""
    for package in ("escriba", "lambdas"):
        ignore = shutil.ignore_patterns("__pycache__", "requirements", "Dockerfile")
        shutil.copytree(ROOT / package, out / package, ignore=ignore)
    shutil.rmtree(out / "bin", ignore_errors=True)


def pip_python() -> str:
    """A Python with pip: our own environment has none inside (see the Makefile)."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, str(base)):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:  # noqa: S603
            return python
    raise FileNotFoundError(f"neither {sys.executable} nor {base} has pip, which packs the functions")


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{name}: {bundle(name, 'x86_64', Path(folder)) / 1e6:.0f} MB unpacked")  # noqa: T201  (a command)
