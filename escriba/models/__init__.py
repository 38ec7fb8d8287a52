"""The vision models Escriba knows, and how each one's answers are understood."""

from __future__ import annotations

from escriba.models.parsers import parse
from escriba.models.registry import ANY, DEFAULT, GPUS, SMALL, VLLM_VERSION, Model, catalogue, for_served, model
from escriba.models.text import Unparsable

__all__ = ["ANY", "DEFAULT", "GPUS", "SMALL", "VLLM_VERSION", "Model", "Unparsable", "catalogue", "for_served", "model", "parse"]
