"""A tiny BERT with random weights in a folder as sentence-transformers writes them, and its vectors by plain numpy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Array = npt.NDArray[np.float32]

LAYERS, HEADS, WIDTH, INNER, POSITIONS = 2, 4, 64, 128, 30
TOKENS_MAX = 16
EPSILON = 1e-12
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = ("how", "do", "i", "reset", "my", "password", "##s", "what", "is", "rain", "?", "the", "a", "b", "c")
VOCABULARY = (*SPECIAL, *WORDS)


def write_tiny_bert(folder: Path, seed: int = 1) -> Path:
    """Write the model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_weights(seed), folder / "model.safetensors")
    write_json(folder / "tokenizer.json", tokenizer())
    write_json(folder / "config.json", {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "layer_norm_eps": EPSILON, "position_embedding_type": "absolute",
    })  # fmt: skip
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": TOKENS_MAX, "do_lower_case": False})
    write_json(folder / "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ])  # fmt: skip
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": WIDTH, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
    })  # fmt: skip
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def tiny_weights(seed: int = 1) -> dict[str, Array]:
    """Random weights by their names in a BERT's safetensors."""
    random = np.random.Generator(np.random.PCG64(seed))

    def normal(*shape: int) -> Array:
        return random.normal(0.0, 0.3, shape).astype(np.float32)

    found = {
        "embeddings.word_embeddings.weight": normal(len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": normal(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": normal(2, WIDTH),
    }
    sizes = {
        "attention.self.query": (WIDTH, WIDTH),
        "attention.self.key": (WIDTH, WIDTH),
        "attention.self.value": (WIDTH, WIDTH),
        "attention.output.dense": (WIDTH, WIDTH),
        "intermediate.dense": (INNER, WIDTH),
        "output.dense": (WIDTH, INNER),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{at}." for at in range(LAYERS)):
        norms += [f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
        for name, (outputs, inputs) in sizes.items():
            found[f"{layer}{name}.weight"] = normal(outputs, inputs)
            found[f"{layer}{name}.bias"] = normal(outputs)
    for name in norms:
        found[f"{name}.weight"] = 1 + normal(WIDTH)
        found[f"{name}.bias"] = normal(WIDTH)
    return found


def tokenizer() -> dict[str, Any]:
    """The model's `tokenizer.json`; like that of the default model it asks for padding, which nobody should follow."""
    ids = {token: at for at, token in enumerate(VOCABULARY)}
    return {
        "version": "1.0",
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {
            "strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": [
            {"id": at, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for at, token in enumerate(SPECIAL)
        ],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": ids,
        },
    }  # fmt: skip


def token_vectors(weights: dict[str, Array], ids: list[int]) -> Array:
    """The last layer (tokens, width) for one text, by the formulas of BERT."""
    states = weights["embeddings.word_embeddings.weight"][ids]
    states = states + weights["embeddings.position_embeddings.weight"][: len(ids)]
    states = _norm(weights, "embeddings.LayerNorm", states + weights["embeddings.token_type_embeddings.weight"][0])
    for at in range(LAYERS):
        layer = f"encoder.layer.{at}."
        seen = _linear(weights, f"{layer}attention.output.dense", _attention(weights, layer, states))
        states = _norm(weights, f"{layer}attention.output.LayerNorm", seen + states)
        inner = _linear(weights, f"{layer}intermediate.dense", states)
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        states = _norm(weights, f"{layer}output.LayerNorm", _linear(weights, f"{layer}output.dense", inner) + states)
    return states


def _attention(weights: dict[str, Array], layer: str, states: Array) -> Array:
    query, key, value = (
        _linear(weights, f"{layer}attention.self.{part}", states).reshape(len(states), HEADS, -1).transpose(1, 0, 2)
        for part in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    seen: Array = (shares / shares.sum(axis=-1, keepdims=True)) @ value
    return seen.transpose(1, 0, 2).reshape(len(states), WIDTH)


def _linear(weights: dict[str, Array], name: str, states: Array) -> Array:
    found: Array = states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return found


def _norm(weights: dict[str, Array], name: str, states: Array) -> Array:
    centred = states - states.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
    found: Array = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return found
