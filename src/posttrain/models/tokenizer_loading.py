"""A model's tokenizer without the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from posttrain.errors import ModelError
from posttrain.models.smollm2 import SMOLLM2, resolve_smollm2


def load_tokenizer(name: str | Path) -> Any:
    """The tokenizer of this model: `smollm2`, a folder, a GGUF file, or a Hub id. ModelError when there is none."""
    from transformers import AutoTokenizer

    source = Path(resolve_smollm2() if str(name) == SMOLLM2 else name).expanduser()
    try:
        adapter = source / "adapter_config.json"
        if adapter.is_file():  # as `load_language_model` does: an adapter speaks its base model's tokens
            return load_tokenizer(json.loads(adapter.read_text())["base_model_name_or_path"])
        if source.suffix == ".gguf":
            return AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        # A folder by its path; a Hub id as it is written.
        return AutoTokenizer.from_pretrained(str(source) if source.exists() else str(name))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"no tokenizer of the name {str(name)!r} can be opened: {reason} Name a model's folder, an id of the "
            f"Hub that this machine can reach, or {SMOLLM2!r}."
        ) from error


def tokenizer_digest(tokenizer: Any) -> str:
    """A digest of everything that decides which ids a text gets."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    ids = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]
    rules = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps([type(tokenizer).__name__, ids, rules]).encode()).hexdigest()
