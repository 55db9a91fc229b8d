"""Sampling in this process with plain PyTorch: any causal LM of transformers, on any device."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from posttrain.errors import InvariantError, ModelError
from posttrain.models import LanguageModel
from posttrain.models.decoder import evaluating
from posttrain.models.packed_linears import packable_linears, packed_linears
from posttrain.rollouts.checks import check_call
from posttrain.rollouts.decoding import Row, RowDecoder, decode
from posttrain.rollouts.engine import Progress
from posttrain.rollouts.kv_cache import GrowingCache
from posttrain.rollouts.padded_decoder import PaddedDecoder, decoder_output
from posttrain.rollouts.shared_prompt_decoder import (
    SharedPromptDecoder,
    reaches_back,
    shares_prompts_exactly,
)
from posttrain.rollouts.stopping import Stopping
from posttrain.types import Prompt, Rollout, Sampling


class TorchEngine:
    """A `RolloutEngine` with its own copy of the weights, or with the learner's.

    With its own copy (the default) it generates with the weights of the last `load_weights`, whatever
    happens to the learner's; a LoRA adapter is merged in that copy. With `shares_weights=True` there is no
    copy: the learner's module generates, and `load_weights` only checks that nothing else is asked for and
    takes the version. That is right when the learner trains the very tensors that the module computes with.

    At most `max_rows` responses are decoded together; more wait until places are free, so memory is bounded. A prompt
    is computed and held once for all its responses, where the model's attention allows it (`SharedPromptDecoder`);
    other models decode every row by itself, in waves. A response does
    not depend on what else is in its batch, up to the rounding of matrix products of another shape: in
    float32 the tokens are the same, in bfloat16 a token may rarely differ.

    Tokens are drawn from the model's whole output vocabulary, the learner's softmax exactly, also where that
    is padded beyond the tokenizer's ids (such ids decode to nothing).
    """

    def __init__(
        self,
        language_model: LanguageModel,
        *,
        max_rows: int = 256,
        shares_weights: bool = False,
        policy_version: int = 0,
    ) -> None:
        if max_rows < 1:
            raise ValueError(f"max_rows is {max_rows}: at least 1 response must be decoded at a time")
        self._shares_weights = shares_weights
        self._language_model = language_model if shares_weights else _own_copy(language_model)
        self._max_rows = max_rows
        self._policy_version = policy_version
        self._weights_are_whole = True
        with torch.no_grad(), evaluating(self._language_model.model):
            self._shares_prompts = shares_prompts_exactly(self._language_model)
            if not self._shares_prompts:
                _check_decoding(self._language_model)
            self._packable = packable_linears(
                self._language_model.causal_lm.base_model, partial(_one_token, self._language_model)
            )

    @property
    def policy_version(self) -> int:
        """The version that rollouts are stamped with now."""
        return self._policy_version

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        responses_per_prompt: int,
        *,
        progress: Progress | None = None,
    ) -> list[Rollout]:
        """`responses_per_prompt` rollouts for each prompt, in the prompts' order; see `RolloutEngine`.

        Raises ValueError for prompts without `token_ids` and sampling fields out of range, ModelError for a
        prompt that leaves no room for `max_new_tokens`, InvariantError for logits that are no numbers.
        """
        self._check_call(prompts, sampling, responses_per_prompt)
        stopping = Stopping(self._language_model.tokenizer, sampling)
        rows = [Row(i, p, sample) for i, p in enumerate(prompts) for sample in range(responses_per_prompt)]
        # Prompts of like length come together: little padding, and rows of one prompt stay beside each other.
        by_length = sorted(rows, key=lambda row: (-len(row.prompt.token_ids), row.prompt_index))
        count = [0, 0]

        def after_step(num_tokens: int, num_finished: int) -> None:
            count[0] += num_finished
            count[1] += num_tokens
            if progress is not None:
                progress(count[0], len(rows), count[1])

        with (
            torch.no_grad(),
            evaluating(self._language_model.model),
            packed_linears(self._packable),
        ):
            decode(
                self._decoder(by_length, sampling),
                by_length,
                sampling,
                stopping,
                max_rows=self._max_rows,
                device=self._language_model.device,
                after_step=after_step,
            )
        return [self._rollout(row, stopping) for row in rows]

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]], policy_version: int) -> None:
        """Take over all weights, by the names of `LanguageModel.named_weights`, and stamp later rollouts.

        Raises ValueError when a weight is missing, unknown or of another shape; the engine then refuses to
        generate until whole weights have come.
        """
        if self._shares_weights:
            self._check_shared(named_tensors)
        else:
            self._weights_are_whole = False
            copy_weights(named_tensors, self._language_model)
            self._weights_are_whole = True
        self._policy_version = policy_version

    def _decoder(self, rows: Sequence[Row], sampling: Sampling) -> RowDecoder:
        """The fastest that this model takes, for its longest row."""
        longest = max((len(row.prompt.token_ids) for row in rows), default=0) + sampling.max_new_tokens
        if self._shares_prompts and reaches_back(self._language_model, longest):
            return SharedPromptDecoder(self._language_model, longest)
        return PaddedDecoder(self._language_model)

    def _rollout(self, row: Row, stopping: Stopping) -> Rollout:
        assert row.finish_reason is not None
        return Rollout(
            prompt=row.prompt,
            sample_index=row.sample_index,
            response_ids=tuple(row.response_ids),
            rollout_logprobs=tuple(row.logprobs),
            finish_reason=row.finish_reason,
            text=stopping.text(row.response_ids, row.finish_reason),
            policy_version=self._policy_version,
        )

    def _check_call(self, prompts: Sequence[Prompt], sampling: Sampling, responses_per_prompt: int) -> None:
        if not self._weights_are_whole:
            raise InvariantError(
                "the last load_weights failed half-way, so this engine holds a mix of two policies. "
                "Call load_weights with all weights again."
            )
        check_call(prompts, sampling, responses_per_prompt)
        vocabulary = self._language_model.head.weight.shape[0]
        limit = self._language_model.max_length
        for prompt in prompts:
            if max(prompt.token_ids) >= vocabulary or min(prompt.token_ids) < 0:
                raise ModelError(
                    f"prompt {prompt.prompt_id!r} holds id {max(prompt.token_ids)}, and the model has {vocabulary} "
                    "ids. It was tokenised for another model: use this model's tokenizer."
                )
            needed = len(prompt.token_ids) + sampling.max_new_tokens
            if limit is not None and needed > limit:
                raise ModelError(
                    f"prompt {prompt.prompt_id!r} has {len(prompt.token_ids)} tokens; with max_new_tokens = "
                    f"{sampling.max_new_tokens} that is {needed}, and the model was made for {limit}. "
                    "Shorten the prompt or lower max_new_tokens."
                )

    def _check_shared(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        if self._language_model.has_adapter:
            return  # merged tensors are new ones each time; the module computes with the adapter itself
        own = dict(self._language_model.named_weights())
        for name, tensor in named_tensors:
            if name not in own or tensor.data_ptr() != own[name].data_ptr():
                raise ValueError(
                    f"load_weights brought a tensor for {name!r} that the shared module does not compute with. "
                    "Make the engine with shares_weights=False, so that it copies weights."
                )


@torch.no_grad()
def copy_weights(named_tensors: Iterable[tuple[str, Tensor]], language_model: LanguageModel) -> None:
    """Copies every weight into the model, cast to its dtype; ValueError unless they are exactly its own."""
    own = dict(language_model.named_weights())
    missing = set(own)
    for name, tensor in named_tensors:
        if name not in own:
            raise ValueError(f"the engine's model has no weight {name!r}; use the names of named_weights()")
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"weight {name!r} has shape {list(tensor.shape)}, and the engine's model {list(own[name].shape)}"
            )
        own[name].copy_(tensor)
        missing.discard(name)
    if missing:
        raise ValueError(f"load_weights left out {len(missing)} weights, the first of them {min(missing)!r}")


def _own_copy(language_model: LanguageModel) -> LanguageModel:
    model = copy.deepcopy(language_model.model)
    if language_model.has_adapter:
        model = model.unload()
    own = LanguageModel(model, language_model.tokenizer, name=language_model.name)
    own.model.requires_grad_(False)
    copy_weights(language_model.named_weights(), own)
    return own


def _check_decoding(language_model: LanguageModel) -> None:
    """Raises ModelError unless token after token gives what one pass over the whole gives."""
    ids = torch.arange(3, device=language_model.device)[None] % language_model.head.weight.shape[0]
    mask, positions = torch.ones_like(ids).bool(), torch.arange(3, device=ids.device)[None]
    cache = GrowingCache()
    try:
        whole = decoder_output(language_model, ids, mask, positions, GrowingCache())[:, -1]
        decoder_output(language_model, ids[:, :2], mask[:, :2], positions[:, :2], cache)
        stepped = decoder_output(language_model, ids[:, 2:], mask, positions[:, 2:], cache)[:, -1]
    except (AttributeError, TypeError, ValueError) as error:
        raise _no_key_value_cache(language_model) from error
    tolerance = 1e-3 if language_model.dtype in (torch.float32, torch.float64) else 0.1
    differs = (whole - stepped).abs().max() > tolerance * whole.abs().max()
    if differs:  # never so with NaN weights, which generate reports
        raise _no_key_value_cache(language_model)


def _one_token(language_model: LanguageModel) -> None:
    token = torch.zeros(1, 1, dtype=torch.long, device=language_model.device)
    language_model.causal_lm.base_model(input_ids=token, use_cache=False)


def _no_key_value_cache(language_model: LanguageModel) -> ModelError:
    return ModelError(
        f"{language_model.name} ({type(language_model.causal_lm).__name__}) keeps more between tokens than attention "
        "keys and values, which this engine does not decode. Use a model with attention layers only."
    )
