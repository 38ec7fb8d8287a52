"""Lets torchvision be imported beside a torch that was built for the CPU: put into vLLM's environment, and loaded at its start, by the Makefile.

The index's torchvision is built for CUDA, so its own operators do not load here; importing it then fails where it describes two that nobody
has defined. Nobody calls them either: a definition without an implementation is enough. Beside any other torch this does nothing.
"""

from __future__ import annotations

import contextlib
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class BeforeTorchvision:
    """A finder that finds nothing, but is asked first, and defines the operators then."""

    library: object = None

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name == "torchvision" and cls.library is None:
            import torch

            cls.library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in OPERATORS:
                with contextlib.suppress(RuntimeError):
                    cls.library.define(operator)
        return None


with contextlib.suppress(PackageNotFoundError):
    if version("torch").endswith("+cpu"):
        sys.meta_path.insert(0, BeforeTorchvision)
