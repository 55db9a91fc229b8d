"""GGUF files as plain models: quantised blocks become ordinary tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers


def open_gguf(path: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model and the tokenizer in a GGUF file, every weight de-quantised to `dtype`.

    The model's config no longer says that it came from a GGUF: saved, it opens as any other.
    """
    options: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):
        # Newer versions would otherwise keep the blocks packed where they have kernels for them.
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=dtype, **options
    )
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(model)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
