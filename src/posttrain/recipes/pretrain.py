"""Pre-training: next-token prediction on text, from random weights or from a checkpoint.

    text -> tokenizer -> token store -> rows of a step -> NextToken -> update -> held-out loss -> checkpoint

The loop itself is `recipes.supervised`: a step's rows are a function of the seed and the step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from posttrain.batches import PackedBatch
from posttrain.config.pretrain import PretrainConfig
from posttrain.data.token_rows import Piece, TrainingRows, windows
from posttrain.data.token_store import TokenDocuments, TokenStore
from posttrain.errors import ConfigError
from posttrain.models.language_model import LanguageModel
from posttrain.models.new_model import ModelShape, new_language_model, num_parameters
from posttrain.models.tokenizer_loading import load_tokenizer
from posttrain.recipes.learners import RunLearner, may_change_on_resume
from posttrain.recipes.pretraining_text import Corpus, open_text
from posttrain.recipes.session import TrainingSession
from posttrain.recipes.setup import (
    checkpoint_gradients,
    hide_progress_bars,
    load_policy,
    resolve_device,
    resolve_dtype,
)
from posttrain.recipes.supervised import SupervisedResult, Supervision, supervised_result, train_supervised
from posttrain.runs.metric_names import count_text
from posttrain.training.held_out_loss import held_out_loss
from posttrain.training.next_token_objective import NextToken

MEASURED_TOGETHER = 8192
"""Tokens of one forward pass of a measurement; fixed, so that the number is the same whenever it is measured."""


def pretrain(config: PretrainConfig) -> SupervisedResult:
    """Trains a model on text, or goes on with the run in `config.output`; returns both held-out measurements.

    A measurement holds `loss` (nats per token), `bits_per_byte` and `perplexity`.
    Raises ConfigError, DataError, ModelError or InvariantError with what to do about it. Ctrl-C ends the run
    after the current step, saved.
    """
    corpus = Corpus.find(config.data)
    with TrainingSession(
        config,
        title=f"pretrain {config.model or 'a new model'}",
        num_steps=config.steps,
        may_change=may_change_on_resume(config.optimizer),
    ) as session:
        if not session.is_complete:
            _train(config, corpus, session)
        return supervised_result(session)


def _train(config: PretrainConfig, corpus: Corpus, session: TrainingSession) -> None:
    model = None if config.model is None else load_policy(config.model, config.compute)
    if model is not None:
        _check_length(config, model)  # before the text is tokenised; a new model is as long as its rows
    store = open_text(config, corpus, session, None if model is None else model.tokenizer)
    model = _new_model(config, store) if model is None else model
    session.keep_the_same("dtype", str(model.dtype).removeprefix("torch."))
    rows = TrainingRows(store.train, sequence_length=config.sequence_length, seed=config.seed)
    session.view.note(_plan_in_words(config, model, rows))

    def batch_of_step(step: int) -> tuple[PackedBatch, dict[str, float]]:
        batch = pack(rows.rows_of_step(step, config.rows_per_step))
        return batch, {"epoch": rows.epochs_before(step, config.rows_per_step)}

    learner = RunLearner(session, model, config.optimizer, config.compute, num_updates=config.steps)
    train_supervised(
        config,
        session,
        learner,
        Supervision(
            batch_of_step=batch_of_step,
            objective=NextToken(),
            measure=lambda: measure(config, model, store.held_out),
            measure_every=config.evaluation.every_steps,
            write_model=model.save,
        ),
    )


def pack(rows: Iterable[list[Piece]]) -> PackedBatch:
    """Rows of pieces as ids; everything but a piece's first id, its context, is a target."""
    return PackedBatch.from_documents(
        [[(piece.tolist(), [False] + [True] * (len(piece) - 1)) for piece in row] for row in rows]
    )


def measure(
    config: PretrainConfig, model: LanguageModel, held_out: TokenDocuments | None
) -> dict[str, float]:
    """Loss in nats per token, bits per byte of text, and perplexity on the held-out documents; {} without any.

    In windows of `sequence_length` targets, each with no context but the one token before it (and none of another
    document): the same work as a training row. Ends of documents are targets like any other, and their nats
    count in the bits, though not in the bytes. Where only `evaluation.max_tokens` of them are measured, bits per
    byte supposes that these have as many bytes a token as all.
    """
    if held_out is None:
        return {}
    max_windows = max(1, config.evaluation.max_tokens // config.sequence_length)
    rows = windows(held_out, sequence_length=config.sequence_length, max_windows=max_windows)
    together = max(1, MEASURED_TOGETHER // config.row_length)
    found = held_out_loss(model, map(pack, _in_groups(rows, together)))
    loss = found.nats / found.num_targets
    return {
        "loss": loss,
        "bits_per_byte": loss / math.log(2) * held_out.num_targets / held_out.num_bytes,
        "perplexity": math.exp(min(loss, 700.0)),
    }


def _in_groups(rows: Iterator[list[Piece]], size: int) -> Iterator[list[list[Piece]]]:
    while group := list(itertools.islice(rows, size)):
        yield group


def _new_model(config: PretrainConfig, store: TokenStore) -> LanguageModel:
    section = config.new_model
    assert section is not None  # the configuration has either a model or a new one
    hide_progress_bars()
    shape = ModelShape(**section.model_dump() | {"max_length": section.max_length or config.row_length})
    device = resolve_device(config.compute.device)
    model = new_language_model(
        shape,
        load_tokenizer(store.tokenizer_folder),
        seed=config.seed,
        dtype=resolve_dtype(config.compute.dtype, device),
        device=device,
    )
    if config.compute.gradient_checkpointing:
        checkpoint_gradients(model.causal_lm, model.model)
    return model


def _check_length(config: PretrainConfig, model: LanguageModel) -> None:
    if model.max_length is not None and config.row_length > model.max_length:
        raise ConfigError(
            f"sequence_length = {config.sequence_length} needs rows of {config.row_length} tokens (one more, for "
            f"context), and {config.model} reads at most {model.max_length}. Set sequence_length = "
            f"{model.max_length - 1} or less."
        )


def _plan_in_words(config: PretrainConfig, model: LanguageModel, rows: TrainingRows) -> str:
    epochs = config.steps * config.rows_per_step / rows.rows_per_epoch
    return (
        f"{num_parameters(model):,} parameters; {config.rows_per_step} rows x {config.sequence_length} = "
        f"{config.tokens_per_step:,} tokens a step, {config.steps * config.tokens_per_step:,} in all, "
        f"{count_text(epochs, 'epoch')}; {model.device}, {str(model.dtype).removeprefix('torch.')}"
    )
