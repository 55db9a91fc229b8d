"""LoRA adapters through peft: small float32 matrices beside the frozen weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model, inject_adapter_in_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from posttrain.errors import ModelError
from posttrain.models.language_model import LanguageModel

if TYPE_CHECKING:
    from posttrain.models.scalar_model import ScalarModel

ALL_LINEAR = "all-linear"


def add_lora(
    language_model: LanguageModel,
    r: int,
    alpha: float,
    targets: str | Sequence[str] = ALL_LINEAR,
    dropout: float = 0.0,
    *,
    seed: int = 0,
) -> LanguageModel:
    """The same model with a new adapter that starts from zero: it computes what the model computed before.

    `targets` are last names of linear layers (`q_proj`), or `"all-linear"`: every one but the LM head. The
    adapter is float32 and trainable, everything else is frozen. The layers are put into the given model,
    which from then on is part of the returned one.
    The adapter's random half is drawn from `seed` alone: the same on every rank and in every run.
    `dropout` is for SFT; with reinforcement learning keep it 0.
    Raises ModelError for a target that the model does not have, and for a model that has an adapter already.
    """
    if language_model.has_adapter:
        raise ModelError(
            f"{language_model.name} has an adapter already. Train that one on, or save the model (which merges "
            "it) and put a new adapter on the saved folder."
        )
    _check_numbers(r, alpha, dropout)
    causal_lm = language_model.causal_lm
    names = _checked_targets(language_model.name, causal_lm, causal_lm.get_output_embeddings(), targets)
    config = _lora_config(causal_lm, r, alpha, names, dropout, "CAUSAL_LM")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = get_peft_model(language_model.causal_lm, config)
    # Where to find the base again: the name that load_language_model was given, such as `smollm2`.
    model.peft_config["default"].base_model_name_or_path = language_model.name
    _widen_adapter(model)
    with_adapter = LanguageModel(model, language_model.tokenizer, name=language_model.name)
    if dropout:
        _set_lora_dropout(model, dropout)
    return with_adapter


def add_lora_to_scalar_model(
    scalar_model: ScalarModel,
    r: int,
    alpha: float,
    targets: str | Sequence[str] = ALL_LINEAR,
    *,
    seed: int = 0,
) -> None:
    """Puts a new adapter into the trunk of a reward or value model: adapter and head train, the rest is frozen.

    As in `add_lora` it starts from zero, is float32, and is drawn from `seed` alone. `ScalarModel.save` merges it.
    """
    _check_numbers(r, alpha, 0.0)
    trunk = scalar_model.model.base_model
    names = _checked_targets(scalar_model.name, trunk, None, targets)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(_lora_config(trunk, r, alpha, names, 0.0, "FEATURE_EXTRACTION"), trunk)
    _widen_adapter(trunk)
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_(".lora_" in name)
    scalar_model.head.requires_grad_(True)


def _lora_config(
    module: nn.Module, r: int, alpha: float, names: str | list[str], dropout: float, task: str
) -> LoraConfig:
    return LoraConfig(
        r=r,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft says int and takes any number
        target_modules=names,
        lora_dropout=dropout,
        bias="none",
        task_type=task,
        fan_in_fan_out=any(isinstance(part, Conv1D) for part in module.modules()),
    )


def _widen_adapter(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.to(torch.float32)


def check_adapter_config(name: str, config: Mapping[str, Any]) -> None:
    """Raises ModelError for an adapter that is not plain LoRA on linear layers inside the decoder."""
    odd = [
        said
        for is_odd, said in (
            (config.get("peft_type") != "LORA", f"it is of type {config.get('peft_type')}"),
            (config.get("use_dora"), "it uses DoRA"),
            (config.get("modules_to_save"), f"it replaces {config.get('modules_to_save')}"),
            (config.get("bias", "none") != "none", "it trains biases"),
            ("lm_head" in (config.get("target_modules") or ()), "it adapts the LM head"),
        )
        if is_odd
    ]
    if odd:
        raise ModelError(
            f"the adapter {name} is more than LoRA on layers of the decoder: {', '.join(odd)}. Merge it "
            "into its model first (peft: model.merge_and_unload().save_pretrained(folder)) and name that folder."
        )


def _check_numbers(r: int, alpha: float, dropout: float) -> None:
    if r < 1:
        raise ModelError(f"LoRA's r is the rank of its matrices and must be at least 1, got {r}")
    if not alpha > 0:
        raise ModelError(
            f"LoRA's alpha must be above 0, got {alpha}: with 0 the adapter would have no effect"
        )
    if not 0 <= dropout < 1:
        raise ModelError(f"LoRA's dropout is a probability below 1, got {dropout}")


def _checked_targets(
    model_name: str, model: Any, head: nn.Module | None, targets: str | Sequence[str]
) -> str | list[str]:
    if targets == ALL_LINEAR:
        return ALL_LINEAR
    wanted = [targets] if isinstance(targets, str) else list(targets)
    available = sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if _is_linear(module) and module is not head
        }
    )
    for target in wanted:
        if target not in available:
            near = difflib.get_close_matches(target, [*available, ALL_LINEAR], n=1)
            raise ModelError(
                f"{model_name} has no linear layer {target!r} for LoRA"
                + (f"; did you mean {near[0]!r}?" if near else ".")
                + f" There are {', '.join(available)}, and {ALL_LINEAR!r} (the LM head cannot be adapted)."
            )
    if not wanted:
        raise ModelError(
            f"LoRA needs at least one target; there are {', '.join(available)}, and {ALL_LINEAR!r}"
        )
    return wanted


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | Conv1D)


def _set_lora_dropout(model: nn.Module, probability: float) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and ".lora_dropout." in name:
            module.p = probability
