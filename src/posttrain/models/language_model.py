"""A causal language model with its tokenizer, and what the learner asks of it: logprobs of responses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from posttrain import algorithms
from posttrain.algorithms.chunked_head import CHUNK_ELEMENTS
from posttrain.batches import PackedBatch, TokenBatch
from posttrain.data.chat_template import end_of_turn
from posttrain.models.decoder import Decoder, evaluating, switch_off_dropout
from posttrain.models.output_head import OutputHead, find_head_transform
from posttrain.models.weights import export_model, merged_weights

KLDirection = Literal["forward", "reverse"]


class ResponseStatistics(NamedTuple):
    """Per response token, `[rows, time]` in float32, in nats, 0 where the mask is False; None: not asked for."""

    logprobs: Tensor
    entropy: Tensor | None
    exact_kl: Tensor | None


class LanguageModel:
    """A Hugging Face causal LM (or a `PeftModel` around one) and its tokenizer.

    Dropout is switched off at construction: with it, a ratio of two passes is noise.
    The distribution over next tokens is the model's own, over its whole output vocabulary, `head.weight`'s
    rows: also over ids beyond the tokenizer's where a model pads its embedding. Learner, reference and engine
    agree on that.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "the model") -> None:
        self.model: Any = model  # a PreTrainedModel, or a PeftModel around one
        self.tokenizer = tokenizer
        self.name = name
        switch_off_dropout(model)
        with evaluating(model):
            self._transform = find_head_transform(self.causal_lm, name)
        self._decoder = Decoder(self.causal_lm.base_model)
        self.eos_token_ids = find_eos_token_ids(self.causal_lm, tokenizer)

    @property
    def causal_lm(self) -> Any:
        """The Hugging Face model itself, without the `PeftModel` around it; LoRA layers stay in it."""
        return self.model.get_base_model() if self.has_adapter else self.model

    @property
    def has_adapter(self) -> bool:
        """True when `model` is a `PeftModel`."""
        return hasattr(self.model, "peft_config") and hasattr(self.model, "get_base_model")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._output_embeddings.weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in: the dtype of its LM head (LoRA adapters are float32 all the same)."""
        dtype: torch.dtype = self._output_embeddings.weight.dtype
        return dtype

    @property
    def max_length(self) -> int | None:
        """Tokens of prompt + response that the model was made for; None when its config does not say."""
        return getattr(self.causal_lm.config.get_text_config(), "max_position_embeddings", None)

    @property
    def head(self) -> OutputHead:
        """What turns this model's hidden states into logits; its weights are the model's own, not a copy."""
        embeddings = self._output_embeddings
        return OutputHead(embeddings.weight, getattr(embeddings, "bias", None), self._transform)

    def hidden_states(self, tokens: TokenBatch) -> Float[Tensor, "rows time width"]:
        """Last hidden states, after the final norm, where each response token is predicted.

        In the model's dtype, arbitrary behind a row's end. Gradients flow.
        """
        return self._decoder.hidden_states(tokens)

    def token_statistics(
        self,
        tokens: TokenBatch,
        *,
        temperature: float,
        entropy: bool = False,
        reference_hidden: Float[Tensor, "rows time width"] | None = None,
        reference_head: OutputHead | None = None,
        kl_direction: KLDirection | None = None,
        chunk_tokens: int | None = None,
        hidden: Float[Tensor, "rows time width"] | None = None,
    ) -> ResponseStatistics:
        """Logprobs of the response tokens under this model; on demand entropy and exact KL to a reference.

        `hidden` are this model's `hidden_states(tokens)` where they are known already.
        Computed where `tokens.response_mask` is True, 0 elsewhere. Gradients flow to the model, never to the
        reference. The exact KL needs `reference_hidden`, `reference_head` and `kl_direction`.
        At most `chunk_tokens` rows of logits exist at a time. ValueError when only some of them are given.
        """
        given = [reference_hidden is not None, reference_head is not None, kl_direction is not None]
        if any(given) and not all(given):
            raise ValueError(
                "the exact KL needs reference_hidden, reference_head and kl_direction together; "
                f"given were {given} in that order"
            )
        mask = tokens.response_mask
        # One flat index of unique positions: its backward is a plain scatter, deterministic on every device.
        index = mask.flatten().nonzero()[:, 0]
        states = self.hidden_states(tokens) if hidden is None else hidden
        counted = states.flatten(0, 1).index_select(0, index)
        reference = None
        if reference_hidden is not None and reference_head is not None:
            reference = (reference_hidden[mask].detach(), reference_head)
        flat = statistics_of_hidden(
            counted,
            self.head,
            tokens.response_ids[mask],
            temperature=temperature,
            entropy=entropy,
            reference=reference,
            kl_direction=kl_direction,
            chunk_tokens=chunk_tokens,
        )
        per_token_entropy, kl = (None if x is None else _scatter(x, mask) for x in flat[1:])
        return ResponseStatistics(_scatter(flat.logprobs, mask), per_token_entropy, kl)

    def target_logprobs(self, packed: PackedBatch) -> Float[Tensor, " targets"]:
        """Logprobs of the packed rows' targets, row by row, at temperature 1: float32, gradients flow.

        Documents of one row do not see each other. No more than a chunk of logits exists at a time.
        """
        targets = packed.loss_mask.flatten().nonzero()[:, 0]
        hidden = self._decoder.packed_hidden_states(packed).flatten(0, 1)
        # A target is predicted one place before it, which is in its row: a row's first token is none.
        return statistics_of_hidden(
            hidden.index_select(0, targets - 1),
            self.head,
            packed.token_ids.flatten()[targets],
            temperature=1.0,
        ).logprobs

    def memory_probe(self, tokens: TokenBatch) -> Tensor:
        """A number whose graph holds what training on these rows would hold: micro-batches are measured on it."""
        return self.token_statistics(tokens, temperature=1.0, entropy=True).logprobs.sum()

    def logprobs(self, tokens: TokenBatch, temperature: float) -> Float[Tensor, "rows time"]:
        """Logprobs of the response tokens in float32, without a graph, 0 where the mask is False.

        The same path as `token_statistics`: for the same rows in one batch, in float32, the numbers are the
        same to the bit, so that the ratio starts at exactly 1.
        """
        with torch.no_grad(), evaluating(self.model):
            return self.token_statistics(tokens, temperature=temperature).logprobs

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor of every weight as a plain model has them: what `engine.load_weights` takes.

        Tied weights come once. A LoRA adapter comes merged: added in float32, then cast; it is not altered.
        Tensors without an adapter are the model's own, not copies.
        """
        return merged_weights(self.causal_lm)

    def save(self, folder: str | Path) -> Path:
        """Writes a folder that `AutoModelForCausalLM.from_pretrained` opens, and returns its path.

        With tokenizer, chat template and generation config; tied weights once, in the dtype that the model
        computes in: what is loaded again is what was trained and evaluated. A LoRA adapter is merged into the
        weights there, which are then float32 (bfloat16 would round small adapters away), and also written on
        its own to `folder/adapter`, which `PeftModel` opens.
        """
        return export_model(self, Path(folder))

    @property
    def _output_embeddings(self) -> Any:
        return self.causal_lm.get_output_embeddings()


def statistics_of_hidden(
    hidden: Float[Tensor, "tokens width"],
    head: OutputHead,
    token_ids: Tensor,
    *,
    temperature: float,
    entropy: bool = False,
    reference: tuple[Tensor, OutputHead] | None = None,
    kl_direction: KLDirection | None = None,
    chunk_tokens: int | None = None,
) -> ResponseStatistics:
    """Per token `[tokens]`: logprob, entropy and exact KL, from hidden states, never all logits at once.

    Plain linear heads go through the fused function of `algorithms`; a head with a transform goes through its
    logits chunk by chunk, made anew in backward: the same numbers.
    """
    if head.transform is None and (reference is None or reference[1].transform is None):
        found = algorithms.token_statistics_from_hidden(
            hidden,
            head.weight,
            token_ids,
            head_bias=head.bias,
            temperature=temperature,
            with_entropy=entropy,
            reference=_reference_head(reference, kl_direction),
            chunk_size=chunk_tokens,
        )
        kl = found.forward_kl if kl_direction == "forward" else found.reverse_kl
        return ResponseStatistics(found.logprobs, found.entropy, kl)

    def of_chunk(hidden: Tensor, ids: Tensor, reference_hidden: Tensor | None) -> tuple[Tensor | None, ...]:
        logits = head.logits(hidden)
        kl = None
        if reference is not None and reference_hidden is not None and kl_direction is not None:
            with torch.no_grad():
                other = reference[1].logits(reference_hidden)
            # equations.md: the KL is between the distributions that tokens are drawn from
            wide = torch.promote_types(logits.dtype, torch.float32)
            kl = algorithms.exact_kl(
                logits.to(wide) / temperature, other.to(wide) / temperature, direction=kl_direction
            )
        return (
            algorithms.token_logprobs(logits, ids, temperature=temperature),
            algorithms.entropy(logits, temperature=temperature) if entropy else None,
            kl,
        )

    size = chunk_tokens or max(1, CHUNK_ELEMENTS // head.weight.shape[0])
    parts = [
        checkpoint(
            of_chunk,
            hidden[start : start + size],
            token_ids[start : start + size],
            None if reference is None else reference[0][start : start + size],
            use_reentrant=False,
        )
        # one chunk at least, so that no tokens give empty results
        for start in range(0, max(len(token_ids), 1), size)
    ]
    logprobs, entropies, kls = zip(*parts, strict=True)
    return ResponseStatistics(
        torch.cat(logprobs),
        torch.cat(entropies) if entropy else None,
        torch.cat(kls) if reference is not None and kl_direction is not None else None,
    )


def _reference_head(
    reference: tuple[Tensor, OutputHead] | None, direction: KLDirection | None
) -> algorithms.ReferenceHead | None:
    if reference is None or direction is None:
        return None
    hidden, head = reference
    return algorithms.ReferenceHead(hidden, head.weight, head.bias, direction)


def find_eos_token_ids(causal_lm: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every id that ends a response, ascending: the tokenizer's, the generation config's, the template's.

    The template's is the special token that it puts right behind an assistant's words (ChatML: `<|im_end|>`).
    """
    generation = getattr(causal_lm, "generation_config", None)
    found = {tokenizer.eos_token_id, end_of_turn(tokenizer)}
    for source in (generation, causal_lm.config.get_text_config()):
        ids = getattr(source, "eos_token_id", None)
        found.update(ids if isinstance(ids, Iterable) else [ids])
    return tuple(sorted(int(i) for i in found if i is not None))


def _scatter(values: Tensor, mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, dtype=values.dtype, device=values.device).masked_scatter(mask, values)
