"""The settings of the pre-training recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from posttrain.config.sections import (
    CheckpointSection,
    ComputeSection,
    OptimizerSection,
    RecipeConfig,
    Section,
)


class TextDataSection(Section):
    """Where text comes from, and what of it is held out."""

    path: str | tuple[str, ...]
    """Files of text: .txt or .md (one document each), .jsonl or .parquet (one document a line or row), a folder or
    pattern of such, several of them, or "pydoc": the help topics that come with Python."""
    column: str = "text"
    """The column of .jsonl and .parquet files that holds the text."""
    held_out_path: str | tuple[str, ...] | None = None
    """The same kind of files for the held-out loss; never trained on."""
    held_out_share: float = Field(0.1, ge=0, lt=1)
    """Without held_out_path: this share of the documents, by content; of fewer than 10 / share documents the last
    share of each. 0 holds nothing out."""

    @field_validator("path", "held_out_path")
    @classmethod
    def _from_anywhere(cls, given: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        """Absolute, so that a run can be resumed from another folder."""
        if given is None or given == "pydoc":
            return given
        if isinstance(given, str):
            return str(Path(given).expanduser().absolute())
        return tuple(name if name == "pydoc" else str(Path(name).expanduser().absolute()) for name in given)


class TokenizerSection(Section):
    """How text becomes ids: a tokenizer trained on the training text, or another model's."""

    kind: Literal["bpe", "characters", "bytes"] = "bpe"
    """bpe (byte-level), characters (one id each; others become the unknown token), bytes (one id each)."""
    vocab_size: int = Field(4096, ge=1)
    """Ids of a bpe tokenizer, at most; the other kinds have as many as they need."""
    model: str | None = None
    """Take the tokenizer of this model instead: a name, a folder, or smollm2."""


class NewModelSection(Section):
    """The shape of a Llama-like model that starts from random weights."""

    layers: int = Field(4, ge=1)
    """Transformer layers."""
    width: int = Field(256, ge=2)
    """Size of the hidden states."""
    heads: int = Field(4, ge=1)
    """Attention heads; width / heads is the size of one, and even."""
    key_value_heads: int | None = Field(None, ge=1)
    """Heads of keys and values, which divide `heads`; by default as many as those."""
    feed_forward: int | None = Field(None, ge=1)
    """Inner size of the gated feed-forward layers; by default 8/3 of the width, rounded up to a multiple of 32."""
    max_length: int | None = Field(None, ge=2)
    """Tokens that the model says it reads at most; by default sequence_length + 1."""
    tied_embeddings: bool = True
    """One matrix for reading and for predicting tokens."""
    initial_std: float = Field(0.02, gt=0)
    """Standard deviation of the first weights."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(
                f"new_model.width = {self.width} must be a multiple of new_model.heads = {self.heads}, and a head's "
                "share of it even (rotary positions turn pairs). Change one of them."
            )
        if self.key_value_heads is not None and self.heads % self.key_value_heads:
            raise ValueError(
                f"new_model.key_value_heads = {self.key_value_heads} must divide new_model.heads = {self.heads}"
            )
        return self


class PretrainOptimizerSection(OptimizerSection):
    """AdamW as it is usual for pre-training; the schedule counts optimiser steps."""

    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate; for going on from a checkpoint take a tenth or less."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled; not applied to norms, biases and embeddings."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """Decay of the second moment."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """What happens after the warm-up: nothing, or a fall to final_share of the peak at the last step."""
    warmup_share: float = Field(0.05, ge=0, le=1)
    """Share of all steps in which the learning rate rises from 0; used where warmup_steps is 0."""
    final_share: float = Field(0.1, ge=0, le=1)
    """Learning rate at the last step, as a share of the peak."""


class TextEvaluationSection(Section):
    """Held-out loss while training."""

    every_steps: int = Field(100, ge=0)
    """Steps between them; 0: only before and after."""
    max_tokens: int = Field(200_000, ge=1)
    """Held-out tokens that are measured, evenly spread; all of them when there are fewer."""


class PretrainCheckpointSection(CheckpointSection):
    """What survives a crash; steps are short here, so there are more of them between checkpoints."""

    every_steps: int = Field(200, ge=1)
    """Steps between checkpoints; the last step is always saved."""


class PretrainConfig(RecipeConfig):
    """Next-token prediction on text, from random weights ([new_model]) or from a checkpoint (model)."""

    model: str | None = None  # type: ignore[assignment]
    """Go on from this model, with its tokenizer: smollm2, a Hub id, a local folder, or a GGUF file."""
    new_model: NewModelSection | None = None
    """Or start from random weights of this shape."""
    tokenizer: TokenizerSection = TokenizerSection()
    output: Path = Path("runs/pretrain")
    """Folder of the run: configuration, metrics, tokenised text, checkpoints, and the trained model."""
    steps: int = Field(1000, ge=1)
    """Optimiser steps."""
    rows_per_step: int = Field(32, ge=1)
    """Rows of text in a step; rows_per_step x sequence_length tokens are predicted."""
    sequence_length: int = Field(256, ge=1)
    """Tokens that are predicted in a row; documents are packed into rows and do not see each other."""
    data: TextDataSection
    optimizer: PretrainOptimizerSection = PretrainOptimizerSection()
    compute: ComputeSection = ComputeSection()
    evaluation: TextEvaluationSection = TextEvaluationSection()
    checkpoint: PretrainCheckpointSection = PretrainCheckpointSection()

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.model is None and self.new_model is None:
            raise ValueError(
                'there is nothing to train: add a section [new_model] for random weights, or set model = "folder" '
                "to go on from a checkpoint"
            )
        if self.model is not None and self.new_model is not None:
            raise ValueError(
                "model and new_model are both set, but training starts from one of them. Remove one."
            )
        if self.model is not None and self.tokenizer != TokenizerSection():
            raise ValueError(
                f"model = {self.model!r} brings its own tokenizer, so [tokenizer] does nothing. Remove it."
            )
        if self.new_model is not None and (self.new_model.max_length or self.row_length) < self.row_length:
            raise ValueError(
                f"new_model.max_length = {self.new_model.max_length} is less than sequence_length + 1 = "
                f"{self.row_length}, the tokens of a row. Raise it, or remove it."
            )
        return self

    @property
    def row_length(self) -> int:
        """Tokens of a row of one document: the targets, and one before them."""
        return self.sequence_length + 1

    @property
    def tokens_per_step(self) -> int:
        """Tokens that a step predicts."""
        return self.rows_per_step * self.sequence_length
