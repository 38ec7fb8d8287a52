"""`make bench-gpu-prepare`: packs what a GPU machine without a network lacks into parts that are small enough to be carried there one by one.

That machine has Python, torch built for CUDA, and transformers. It gets vLLM in the release built for that torch, what Escriba's worker and this bench need,
and a model's shape without weights. There: `cat parts/part-* | tar xJ -C FOLDER`, then the command that is printed at the end.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from bench.vllm_process import Vllm
from tests.engines.servers import ROOT

VLLM, TORCH, SHAPE = "0.25.1", "2.11.0", "qwen2.5-vl-7b"
PART = 55 << 20  # bytes
UV = ROOT / ".venv" / "bin" / "uv"
# There already, or never loaded by a dense model on one card.
_NOT_VLLMS = re.compile(
    r"torch|torchvision|torchaudio|triton|transformers|tokenizers|safetensors|huggingface-hub|nvidia-.*|cuda-.*|hf-xet|ray|cupy.*|flashinfer.*|numba|llvmlite"
    r"|scipy|tilelang|quack-kernels|torch-c-dlpack-ext|opencv.*|soundfile|mistral-common|datasets|pandas|pyarrow|runai.*|fastsafetensors|tokenspeed-.*|torchcodec|pynvvideocodec|z3-solver|sentry-sdk|supervisor|grpcio"
)
_NOT_OURS = re.compile(
    r"rapidocr|onnxruntime|tesserocr|tessdata.*|lxml|mypy.*|ruff|import-linter|grimp|huggingface-hub|hf-xet|xllamacpp|hypothesis|pre-commit|pytest.*|boto3-stubs"
    r"|types-.*|botocore-stubs|jupyter.*|playwright|shapely|pyclipper|coverage|virtualenv|nodeenv|setuptools|sympy|mpmath|rapidfuzz|cfn-lint|networkx"
)
_UNUSED = (
    "*deep_gemm*",
    "*flashmla*",
    "*qutlass*",
    "*fmha_sm100*",
    "*moe_C*",
    "*vllm/vllm-rs",
    "*.hpp",
    "__pycache__",
    "*/tests/*",
    "*/bin/*",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Write OUT/parts; the folders they were made from stay beside them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--vllm", default=VLLM, help="the release that was built for the torch there")
    parser.add_argument("--torch", default=TORCH)
    parser.add_argument("--python", default="3.12")
    given = parser.parse_args(argv)
    out: Path = given.out.resolve()
    site = out / "site"
    site.mkdir(parents=True, exist_ok=True)
    Vllm().make_model(site / "model", SHAPE)
    _install(site / "ours", filtered((ROOT / "requirements" / "dev.txt").read_text(), _NOT_OURS), given.python, out / "ours.txt")
    wanted = filtered(_resolved(given.vllm, given.torch, given.python), _NOT_VLLMS)
    _install(site / "vllm", wanted, given.python, out / "vllm.txt")
    parts = list(_parts(site, out / "parts"))
    print(
        f"{len(parts)} parts, {sum(part.stat().st_size for part in parts) >> 20} MiB in all, in {out / 'parts'}. On the GPU machine, in the checkout:"
    )
    print("  mkdir site && cat parts/part-* | tar xJ -C site")
    print("  PYTHONPATH=site/ours python3 -m bench.gpu.run --site site/vllm --model site/model")
    return 0


def filtered(locked: str, unwanted: re.Pattern[str]) -> str:
    """A lock without some of its packages; hashes stay where there are any."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", locked.strip())
    return "\n".join(entry for entry in entries if not unwanted.fullmatch(re.split(r"[=\[ ;]", entry, maxsplit=1)[0])) + "\n"


def _resolved(vllm: str, torch: str, python: str) -> str:
    """Every package that this vLLM needs beside this torch, pinned."""
    command = [str(UV), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", python]
    command += ["--python-platform", "x86_64-manylinux_2_31", "--no-emit-index-url", "--no-emit-find-links", "-"]
    # This release was made before those two changed their interfaces, and does not say so.
    asked = f"vllm=={vllm}\ntorch=={torch}\ntransformers>=5\nopenai<3\nmcp<2\n"
    return subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout


def _install(folder: Path, requirements: str, python: str, record: Path) -> None:
    """Their wheels for that Python, unpacked into a folder; what was installed stands in `record`."""
    record.write_text(requirements)
    command = [str(UV), "pip", "install", "--quiet", "--no-deps"]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_35", "--only-binary", ":all:", "--target", str(folder)]
    subprocess.run([*command, "-r", str(record)], check=True)


def _parts(site: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    for old in folder.glob("part-*"):
        old.unlink()
    command = [
        "tar",
        "--create",
        "--use-compress-program=xz -3 -T0",
        *(f"--exclude={name}" for name in _UNUSED),
        "--directory",
        str(site),
        ".",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as packing:
        assert packing.stdout is not None  # noqa: S101  (opened with a pipe)
        number = 0
        while piece := _read(packing.stdout):
            part = folder / f"part-{number:02d}"
            part.write_bytes(piece)
            yield part
            number += 1
    if packing.returncode:
        sys.exit("tar failed")


def _read(stream: IO[bytes]) -> bytes:
    pieces, left = [], PART
    while left and (piece := stream.read(min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


if __name__ == "__main__":
    sys.exit(main())
