"""A decoder with one number on top of each state: what reward models and value models are made of."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posttrain.batches import TokenBatch
from posttrain.errors import ModelError
from posttrain.models.decoder import Decoder, evaluating, switch_off_dropout
from posttrain.models.language_model import LanguageModel
from posttrain.models.loading import load_language_model
from posttrain.models.smollm2 import SMOLLM2
from posttrain.models.weights import cast_parameters, merged_weights, record_dtype

NewHead = Literal["zeros", "normal"]


class ScalarModel:
    """A Hugging Face sequence classifier with one label, read at every state instead of at the last one only.

    Made by `scalar_model_of` (a new head on a language model) or `load_scalar_model`. Dropout is off. The head
    is float32 whatever the trunk computes in: bfloat16 would round a score to 3 digits.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str) -> None:
        self.model: Any = model
        self.tokenizer = tokenizer
        self.name = name
        switch_off_dropout(model)
        self._decoder = Decoder(model.base_model)

    @property
    def head(self) -> nn.Linear:
        """From a hidden state to its number."""
        head: nn.Linear = self.model.score
        return head

    @property
    def has_adapter(self) -> bool:
        """True when LoRA layers are in the trunk."""
        return any(".lora_" in name for name, _ in self.model.named_parameters())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the trunk computes in."""
        dtype: torch.dtype = next(self.model.base_model.parameters()).dtype
        return dtype

    @property
    def max_length(self) -> int | None:
        """Tokens of prompt + response that the model was made for; None when its config does not say."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def vocabulary_size(self) -> int:
        """Ids that the model can read."""
        return int(self.model.get_input_embeddings().num_embeddings)

    def state_values(self, tokens: TokenBatch) -> Float[Tensor, "rows time"]:
        """The number of the state before each response token: `V(s_t)`; float32, gradients flow.

        On `tokens.with_end_states()` the last one of a row is that of its end. Arbitrary behind a row's end.
        """
        hidden = self._decoder.hidden_states(tokens)
        return self.head(hidden.to(self.head.weight.dtype)).squeeze(-1)  # type: ignore[no-any-return]

    def end_values(self, tokens: TokenBatch) -> Float[Tensor, " rows"]:
        """The number of each row's end, read at its last real token whatever the padding; gradients flow."""
        ends = tokens.with_end_states()
        values = self.state_values(ends)
        return values.gather(1, (ends.response_lengths - 1)[:, None]).squeeze(1)

    def values_without_graph(self, tokens: TokenBatch) -> Float[Tensor, "rows time"]:
        """`state_values` in eval mode, without a graph."""
        with torch.no_grad(), evaluating(self.model):
            return self.state_values(tokens)

    def memory_probe(self, tokens: TokenBatch) -> Tensor:
        """A number whose graph holds what training on these rows would hold: micro-batches are measured on it."""
        return self.state_values(tokens).sum()

    def save(self, folder: str | Path) -> Path:
        """Writes a folder that `AutoModelForSequenceClassification.from_pretrained` opens, and returns its path.

        Its score of one unpadded sequence is `end_values`. With the tokenizer; the head stays float32 in the
        file and the trunk in what it computes in. A LoRA adapter is merged into the weights, then float32.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        weights = dict(merged_weights(self.model, keep_float32=True))
        self.model.save_pretrained(path, state_dict={n: t.cpu().contiguous() for n, t in weights.items()})
        if self.has_adapter:
            record_dtype(path, weights)
        self.tokenizer.save_pretrained(path)
        return path


def scalar_model_of(
    language_model: LanguageModel, *, head: NewHead, seed: int = 0, takes_over: bool = False
) -> ScalarModel:
    """A scalar model with the language model's trunk and a new head.

    The head is zeros (a value model that expects nothing yet), or drawn by `seed` with standard deviation
    1 / sqrt(width + 1) (a reward model; arXiv 2403.17031, detail 11). The trunk is a copy, merged with its
    adapter if it has one, unless `takes_over`: then the language model must not be used any more.
    Raises ModelError for an architecture without a sequence classifier in transformers.
    """
    causal_lm = language_model.model if takes_over else copy.deepcopy(language_model.model)
    if language_model.has_adapter:
        causal_lm = causal_lm.merge_and_unload()
    causal_lm.requires_grad_(True)
    shell = _empty_classifier(causal_lm.config, language_model.name)
    setattr(shell, shell.base_model_prefix, causal_lm.base_model)
    shell.score = _new_head(head, shell.score.in_features, seed, language_model.device)
    _set_padding(shell.config, language_model)
    shell.eval()
    return ScalarModel(shell, language_model.tokenizer, name=language_model.name)


def load_scalar_model(name: str | Path, *, dtype: torch.dtype, device: torch.device | str) -> ScalarModel:
    """The reward or value model in this folder (or of this Hub id), on `device`, its trunk in `dtype`.

    Raises ModelError when there is none, when it has more than one label, or when weights are missing.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = str(Path(name).expanduser()) if Path(name).expanduser().exists() else str(name)
    if not is_scalar_model(source):
        raise no_scalar_model(name)
    open_model: Any = AutoModelForSequenceClassification.from_pretrained
    try:
        # float32 first: the head keeps its digits, and bfloat16 weights are the same again when cast back.
        model, report = open_model(source, dtype=torch.float32, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"the reward or value model {name} cannot be opened: {_first_line(error)}"
        ) from error
    _check_head(name, model, report)
    cast_parameters(model.base_model, dtype)
    model.eval()
    return ScalarModel(model.to(device), tokenizer, name=str(name))


def is_scalar_model(name: str | Path) -> bool:
    """Whether the folder or Hub id holds a sequence classifier rather than a language model."""
    return classifier_config(name) is not None


def classifier_config(name: str | Path) -> Any:
    """The config of the sequence classifier in the folder or Hub id, None where there is none."""
    from transformers import AutoConfig

    path = Path(name).expanduser()
    # Names that are no Hub id: the Hub would be asked for them, again and again where there is no network.
    if (
        str(name) == SMOLLM2
        or path.suffix == ".gguf"
        or (path.is_dir() and not (path / "config.json").exists())
    ):
        return None
    try:
        config = AutoConfig.from_pretrained(str(name))
    except (OSError, ValueError):
        return None
    is_classifier = any("ForSequenceClassification" in kind for kind in config.architectures or ())
    return config if is_classifier else None


def load_trunk_for_scalars(
    name: str,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    head: NewHead,
    seed: int,
    keeps_head: bool = True,
) -> ScalarModel:
    """The scalar model of that name, or a new head on the language model of that name.

    A scalar model gets the new head, too, unless `keeps_head`: then only its trunk is taken over.
    """
    if is_scalar_model(name):
        found = load_scalar_model(name, dtype=dtype, device=device)
        if not keeps_head:
            found.model.score = _new_head(head, found.head.in_features, seed, found.device)
        return found
    language_model = load_language_model(name, dtype=dtype, device=device)
    return scalar_model_of(language_model, head=head, seed=seed, takes_over=True)


def _new_head(head: NewHead, width: int, seed: int, device: torch.device | str) -> nn.Linear:
    weight = torch.zeros(1, width)
    if head == "normal":
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(1, width, generator=generator) / math.sqrt(width + 1)
    made = nn.Linear(width, 1, bias=False, device=device)
    with torch.no_grad():
        made.weight.copy_(weight)
    return made


def _empty_classifier(config: Any, name: str) -> Any:
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoModelForSequenceClassification

    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise ModelError(
            f"{name} is of type {config.model_type!r}, for which transformers has no sequence classifier, so no "
            "reward or value model can be made of it. Use one such as Llama, Qwen, Gemma, Mistral or GPT-2."
        )
    config = copy.deepcopy(config)
    config.num_labels = 1
    with torch.device("meta"):
        shell: Any = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    if not isinstance(getattr(shell, "score", None), nn.Linear):
        raise ModelError(
            f"the sequence classifier of {name} ({type(shell).__name__}) has no linear head `score`, which a "
            "reward or value model is read from. Use one such as Llama, Qwen, Gemma, Mistral or GPT-2."
        )
    return shell


def _set_padding(config: Any, language_model: LanguageModel) -> None:
    """transformers takes the last token that is no padding as the end: no end-of-sequence id may be padding."""
    pad = language_model.tokenizer.pad_token_id
    if pad is None or pad in language_model.eos_token_ids:
        free = [i for i in language_model.tokenizer.all_special_ids if i not in language_model.eos_token_ids]
        pad = free[0] if free else None
    config.get_text_config().pad_token_id = config.pad_token_id = pad


def _check_head(name: str | Path, model: Any, report: Any) -> None:
    missing = sorted(report["missing_keys"])
    mismatched = sorted(str(key) for key in report.get("mismatched_keys", ()))
    if missing or mismatched:
        raise ModelError(
            f"{name} does not fit together: {len(missing)} weights are missing and {len(mismatched)} have another "
            f"shape (the first is {(missing + mismatched)[0]}). Train it again, or name another folder."
        )
    head = getattr(model, "score", None)
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise wrong_labels(name, getattr(head, "out_features", "no"))


def no_scalar_model(name: str | Path) -> ModelError:
    """What to say where a language model, or nothing, stands in a reward model's place."""
    return ModelError(
        f"{name} is no reward or value model: its config.json names no sequence classifier. Name the "
        "`model` folder of a reward_model run, or train one: posttrain reward-model"
    )


def wrong_labels(name: str | Path, num_labels: int | str) -> ModelError:
    """What to say of a classifier whose score is not one number."""
    return ModelError(
        f"{name} has {num_labels} labels, and a reward or value is one number. Name a model with num_labels = 1."
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
