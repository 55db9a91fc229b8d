"""Weights by their plain Hugging Face names, with LoRA merged, and the folders they are written to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from posttrain.models.language_model import LanguageModel

ADAPTER_FOLDER = "adapter"


@torch.no_grad()
def merged_weights(causal_lm: Any, *, keep_float32: bool = False) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of every parameter, tied ones once, as if no LoRA layer had been put in.

    Weights with an adapter are added up in float32, and stay so with `keep_float32`.
    """
    for name, parameter in causal_lm.named_parameters():
        if ".lora_" in name:
            continue
        tensor = parameter.detach()
        if name.endswith(".base_layer.weight"):
            layer = causal_lm.get_submodule(name.removesuffix(".base_layer.weight"))
            merged = _merged(layer, tensor)
            tensor = merged if keep_float32 else merged.to(tensor.dtype)
        yield name.replace(".base_layer.", "."), tensor


def _merged(layer: Any, weight: Tensor) -> Tensor:
    merged = weight.float()
    for adapter in layer.active_adapters:
        merged = merged + layer.get_delta_weight(adapter).float()
    return merged


def export_model(language_model: LanguageModel, folder: Path) -> Path:
    """Writes weights, tokenizer, chat template and generation config; see `LanguageModel.save`."""
    weights = dict(merged_weights(language_model.causal_lm, keep_float32=True))
    causal_lm = language_model.causal_lm
    folder.mkdir(parents=True, exist_ok=True)
    # Only one of two tied names is written; from_pretrained fills in the other.
    causal_lm.save_pretrained(folder, state_dict={n: t.cpu().contiguous() for n, t in weights.items()})
    record_dtype(folder, weights)
    language_model.tokenizer.save_pretrained(folder)
    if language_model.has_adapter:
        language_model.model.save_pretrained(folder / ADAPTER_FOLDER, save_embedding_layers=False)
    return folder


def record_dtype(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """config.json names float32 where one of the weights is: they are opened as they were written."""
    # from_pretrained opens a model in the dtype its config names: with a merged adapter not the module's.
    widest = torch.float32 if any(t.dtype == torch.float32 for t in weights.values()) else None
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if widest is not None and config.get("dtype") != "float32":
        path.write_text(json.dumps(config | {"dtype": "float32"}, indent=2, sort_keys=True) + "\n")


def cast_parameters(module: nn.Module, dtype: torch.dtype) -> None:
    """Every weight in this dtype; buffers stay, because `.to(bfloat16)` would round the rotary frequencies, too."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
