"""Makes a folder that vLLM takes for a Qwen2.5-VL: the real architecture with 0.7 million parameters, a tokenizer trained on one sentence, no weights.

Runs in vLLM's environment, without a network: `python tiny_model.py FOLDER`. vLLM fills in the weights by chance (`--load-format dummy`), so that what
the model says is noise: tests look at how it is said.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, PAD, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"
SPECIAL = [END, START, STOP, VISION_START, VISION_END, PAD, IMAGE, VIDEO]
WORDS = 512  # in the vocabulary: 256 bytes, pairs of them, and the special ones
SENTENCE = "A scribe copies what stands on the page: number, date, total, table and name, nothing more and nothing less."
PICTURE = f"{VISION_START}{IMAGE}{VISION_END}"
CHAT = (
    "{% for message in messages %}" + START + "{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% else %}" + PICTURE + "{% endif %}{% endfor %}"
    "{% endif %}" + STOP + "\n{% endfor %}{% if add_generation_prompt %}" + START + "assistant\n{% endif %}"
)


def byte_level(pairs: models.BPE) -> Tokenizer:
    """Of bytes, so that any text can be written and read."""
    made = Tokenizer(pairs)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def trainer(words: int) -> trainers.BpeTrainer:
    """For a vocabulary of so many words, the 256 bytes among them."""
    return trainers.BpeTrainer(vocab_size=words, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def with_special(made: Tokenizer, special: list[str], *, end: str, pad: str) -> PreTrainedTokenizerFast:
    """What transformers takes for a tokenizer that talks; texts end with `end`."""
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=end,
        pad_token=pad,
        additional_special_tokens=SPECIAL,
        model_max_length=32_768,
        chat_template=CHAT,
    )


def save_tokenizer(words: PreTrainedTokenizerFast, folder: Path) -> None:
    """Into the model's folder, under a class that the server knows."""
    words.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}))


def tokenizer() -> PreTrainedTokenizerFast:
    """Pairs of bytes, learnt from one sentence."""
    pairs = byte_level(models.BPE())
    pairs.train_from_iterator([SENTENCE] * 8, trainer(WORDS - len(SPECIAL)))
    return with_special(pairs, SPECIAL, end=STOP, pad=END)


def config(number: dict[str, int]) -> Qwen2_5_VLConfig:
    """The smallest sizes that vLLM's kernels take."""
    text = {
        "vocab_size": WORDS,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32_768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
        "tie_word_embeddings": False,
        "bos_token_id": number[END],
        "eos_token_id": number[STOP],
        "pad_token_id": number[END],
    }
    sight = {
        "depth": 4,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 2,
        "in_channels": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
        "out_hidden_size": 128,
        "fullatt_block_indexes": [3],
    }
    made = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=sight,
        vision_start_token_id=number[VISION_START],
        vision_end_token_id=number[VISION_END],
        image_token_id=number[IMAGE],
        video_token_id=number[VIDEO],
    )
    made.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    made.dtype = "float32"
    return made


def pictures(kind: str) -> dict[str, Any]:
    """How pictures, or films, are cut into patches."""
    return {
        **({"image_processor_type": "Qwen2VLImageProcessor"} if kind == "image" else {"video_processor_type": "Qwen2VLVideoProcessor"}),
        "processor_class": "Qwen2_5_VLProcessor",
        "size": {"shortest_edge": 3136, "longest_edge": 1_003_520},
        "min_pixels": 3136,
        "max_pixels": 1_003_520,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
    }


def make(folder: Path) -> None:
    """Write the folder; only what vLLM reads at its start."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    save_tokenizer(words, folder)
    number = {word: words.convert_tokens_to_ids(word) for word in SPECIAL}
    config(number).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures("image")))
    (folder / "video_preprocessor_config.json").write_text(json.dumps(pictures("video")))
    generation = {"eos_token_id": [number[STOP], number[END]], "pad_token_id": number[END], "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(generation))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
