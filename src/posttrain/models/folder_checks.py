"""Whether a model's folder is what it must be, told before hours of work: config and tokenizer are read, no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from posttrain.errors import ModelError
from posttrain.models.loading import ADAPTER_CONFIG, check_has_config, config_of_language_model
from posttrain.models.lora import check_adapter_config
from posttrain.models.reward_model import RewardModelDescription
from posttrain.models.scalar_model import classifier_config, is_scalar_model, no_scalar_model, wrong_labels
from posttrain.models.smollm2 import SMOLLM2, resolve_smollm2
from posttrain.models.tokenizer_loading import load_tokenizer

_WEIGHTS: Final = ("*.safetensors", "pytorch_model*.bin")


def check_language_model(folder: Path) -> None:
    """ModelError when this folder (or GGUF file, or adapter) is no language model."""
    if folder.suffix == ".gguf" and folder.is_file():
        return
    if (folder / ADAPTER_CONFIG).is_file():
        check_adapter_config(str(folder), json.loads((folder / ADAPTER_CONFIG).read_text()))
        return
    check_has_config(folder)
    config_of_language_model(str(folder), str(folder))
    _check_weights_and_tokenizer(folder)


def check_scalar_model(folder: Path) -> None:
    """ModelError when this folder is no reward or value model."""
    check_has_config(folder)
    config = classifier_config(folder)
    if config is None:
        raise no_scalar_model(folder)
    if config.num_labels != 1:
        raise wrong_labels(folder, config.num_labels)
    _check_weights_and_tokenizer(folder)


def check_reward_model(folder: Path, *, normalize: bool) -> None:
    """ModelError when this folder is no reward model, or has no calibration and needs one."""
    check_scalar_model(folder)
    description = RewardModelDescription.read(str(folder))
    if normalize:
        description.check_calibrated(str(folder))


def check_trunk_for_scalars(folder: Path) -> None:
    """ModelError when neither a scalar model nor a language model is in this folder."""
    if is_scalar_model(folder):
        check_scalar_model(folder)
    else:
        check_language_model(folder)


def hidden_width(name: str) -> int | None:
    """Numbers in a hidden state of the model in this folder, or of smollm2; None where that is not known here."""
    from transformers import AutoConfig

    source = Path(resolve_smollm2() if name == SMOLLM2 else name).expanduser()
    if not (source / "config.json").is_file():
        return None
    width = getattr(AutoConfig.from_pretrained(source).get_text_config(), "hidden_size", None)
    return width if isinstance(width, int) else None


def _check_weights_and_tokenizer(folder: Path) -> None:
    if not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        raise ModelError(
            f"{folder} has a config.json and no weights ({' or '.join(_WEIGHTS)}): the run that wrote it did not get "
            "to its end, or they were not copied. Finish the run, or name another folder."
        )
    load_tokenizer(folder)
