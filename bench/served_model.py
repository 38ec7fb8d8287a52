"""Makes a folder that vLLM takes for a Qwen2.5-VL of a given shape, with words of a natural length and no end: for measuring, not for reading.

Runs in vLLM's environment, without a network: `python -m bench.served_model FOLDER SHAPE`. vLLM fills in the weights by chance (`--load-format dummy`).
The token that ends a text stands outside of the vocabulary that the model draws from: every answer is exactly as long as it may be, for whoever asks, and
no request has to say so.
"""

from __future__ import annotations

import itertools
import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import models
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig

from tests.vllm.tiny_model import (
    IMAGE,
    PAD,
    SPECIAL,
    VIDEO,
    VISION_END,
    VISION_START,
    byte_level,
    pictures,
    save_tokenizer,
    trainer,
    with_special,
)

NEVER = "<|never|>"
REGISTRY = Path(__file__).parent.parent / "escriba" / "models" / "models.toml"
_LEARNT = 2048  # words of the vocabulary that come from the prompts: those are about as long then as by their models' own tokenizers
_SYLLABLES = [consonant + vowel for consonant in "bcdfglmnprstv" for vowel in "aeiou"]


@dataclass(frozen=True)
class Shape:
    """Sizes as config.json names them; `words` are in the vocabulary."""

    words: int
    text: dict[str, Any]
    sight: dict[str, Any]
    dtype: str


_SMALL = {
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]},
}
_SMALL_SIGHT = {
    "depth": 4,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_heads": 2,
    "out_hidden_size": 256,
    "fullatt_block_indexes": [3],
}
SHAPES = {
    # A page keeps one core busy for about a second; what a dry run and the directions of settings need.
    "cpu": Shape(words=4096, text=_SMALL | {"num_hidden_layers": 6}, sight=_SMALL_SIGHT, dtype="float32"),
    # And here for about two: on two cores the server is what everything else waits for, and a worker beside it takes little of it away.
    "cpu-deep": Shape(words=4096, text=_SMALL | {"num_hidden_layers": 12}, sight=_SMALL_SIGHT, dtype="float32"),
    # config.json of Qwen/Qwen2.5-VL-7B-Instruct: 8.3 billion parameters.
    "qwen2.5-vl-7b": Shape(
        words=152_064,
        text={
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 128_000,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        sight={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 3584,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        dtype="bfloat16",
    ),
}


def tokenizer(words: int) -> PreTrainedTokenizerFast:
    """Bytes, what the registry's prompts are made of, made-up words and special tokens, `words` in all; and one more, which ends texts."""
    prompts = [entry["prompt"] for entry in tomllib.loads(REGISTRY.read_text("utf-8"))["model"] if entry.get("prompt")]
    made = byte_level(models.BPE())
    made.train_from_iterator(prompts, trainer(_LEARNT))
    learnt = json.loads(made.to_str())["model"]
    vocabulary, invented = dict(learnt["vocab"]), itertools.product(_SYLLABLES, repeat=3)
    while len(vocabulary) < words - len(SPECIAL):
        word = "".join(next(invented))
        vocabulary.setdefault(f"Ġ{word}" if len(vocabulary) % 2 else word, len(vocabulary))
    merges = [tuple(pair) for pair in learnt["merges"]]
    return with_special(byte_level(models.BPE(vocab=vocabulary, merges=merges)), [*SPECIAL, NEVER], end=NEVER, pad=PAD)


def make(folder: Path, shape: Shape) -> None:
    """Write the folder; only what vLLM reads at its start."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer(shape.words)
    save_tokenizer(words, folder)
    never = int(words.convert_tokens_to_ids(NEVER))
    common = {"vocab_size": shape.words, "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": never, "pad_token_id": 0}
    usual = {
        "in_channels": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
    }
    config = Qwen2_5_VLConfig(
        text_config=common | shape.text,
        vision_config=usual | shape.sight,
        vision_start_token_id=words.convert_tokens_to_ids(VISION_START),
        vision_end_token_id=words.convert_tokens_to_ids(VISION_END),
        image_token_id=words.convert_tokens_to_ids(IMAGE),
        video_token_id=words.convert_tokens_to_ids(VIDEO),
    )
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    config.dtype = shape.dtype
    config.save_pretrained(folder)
    large = {"max_pixels": 12_845_056, "size": {"shortest_edge": 3136, "longest_edge": 12_845_056}}
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures("image") | large))
    (folder / "video_preprocessor_config.json").write_text(json.dumps(pictures("video")))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [never], "do_sample": True}))


if __name__ == "__main__":
    make(Path(sys.argv[1]), SHAPES[sys.argv[2]])
