"""What the critic minimises: the squared error of its values, alone or beside the policy's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from posttrain.algorithms.masks import keep_counted
from posttrain.algorithms.ppo import value_loss
from posttrain.algorithms.values import value_clip_fraction
from posttrain.batches import PolicyValueBatch, TokenBatch, ValueBatch
from posttrain.errors import ConfigError
from posttrain.training.metrics import Metrics
from posttrain.training.objectives import PolicyGradient


class ValueModel(Protocol):
    """The part of a value model that this objective uses."""

    def state_values(self, tokens: TokenBatch) -> Float[Tensor, "rows time"]:
        """`V(s_t)` of the state before each response token, with its graph."""
        ...


@dataclass(frozen=True)
class ValueRegression:
    """The critic's loss `coef * (V(s_t) - target)^2`, summed over response tokens; a unit is a counted token.

    With `clip` (as much as a value may leave its old one) it is the larger of the plain and the clipped error.
    Logged: `value_loss`, the mean without `coef`, and `value_clip_fraction`, the share of tokens where the
    clipped error is the larger one.

    Example: the note's critic, `learner.update(value_batch, ValueRegression())`
    """

    coef: float = 1.0
    clip: float | None = None

    def __post_init__(self) -> None:
        if not self.coef > 0 or (self.clip is not None and not self.clip > 0):
            raise ConfigError(
                f"the critic's coef ({self.coef}) and clip ({self.clip}) must be positive; clip=None does not clip"
            )

    def num_units(self, batch: ValueBatch) -> float:
        """Counted tokens."""
        return float(batch.tokens.response_mask.sum())

    def counted_rows(self, batch: ValueBatch) -> Bool[Tensor, " rows"]:
        """Rows with a counted token."""
        return batch.tokens.response_mask.any(dim=-1)

    def __call__(self, model: ValueModel, microbatch: ValueBatch) -> tuple[Tensor, Metrics]:
        """The summed loss of these rows, and what to log."""
        loss, metrics = self.of_values(model.state_values(microbatch.tokens), microbatch)
        return loss, metrics.sum("tokens", microbatch.tokens.response_mask.sum())

    def of_values(self, values: Float[Tensor, "rows time"], microbatch: ValueBatch) -> tuple[Tensor, Metrics]:
        """The same for values that are computed already."""
        mask = microbatch.tokens.response_mask
        values, targets, old_values = (
            keep_counted(x, mask) for x in (values, microbatch.targets, microbatch.old_values)
        )
        error = keep_counted(value_loss(values, targets, old_values=old_values, clip=self.clip), mask).sum()
        tokens = mask.sum()
        metrics = Metrics().mean("value_loss", total=error, count=tokens)
        if self.clip is not None:
            share = value_clip_fraction(values, targets, mask, old_values=old_values, clip=self.clip)
            metrics.mean("value_clip_fraction", total=share * tokens, count=tokens)
        return self.coef * error, metrics


@dataclass(frozen=True)
class PolicyAndValue:
    """The note's whole loss of a policy that carries its critic: `clip_loss - w1 H + w2 KL + w3 value_loss`.

    One forward pass of a `PolicyWithValueHead` gives both; w3 is `value.coef`. The terms must have one unit,
    so the policy's aggregation is `"token"`. Logged: what the two parts log, `loss` being the whole.
    """

    policy: PolicyGradient
    value: ValueRegression

    def __post_init__(self) -> None:
        if self.policy.aggregation != "token":
            raise ConfigError(
                f"the policy's terms are means over {self.policy.aggregation}s and the critic's over tokens, so they "
                "have no common unit: use aggregation 'token'"
            )

    def num_units(self, batch: PolicyValueBatch) -> float:
        """Counted tokens."""
        return self.value.num_units(batch.value)

    def counted_rows(self, batch: PolicyValueBatch) -> Bool[Tensor, " rows"]:
        """Rows with a counted token."""
        return self.value.counted_rows(batch.value)

    def __call__(self, model: Any, microbatch: PolicyValueBatch) -> tuple[Tensor, Metrics]:
        """The summed loss of these rows, and every term of it on its own."""
        one_pass = _OnePass(model)
        policy_loss, policy_metrics = self.policy(one_pass, microbatch.policy)
        value_part, value_metrics = self.value.of_values(one_pass.values, microbatch.value)
        units = microbatch.value.tokens.response_mask.sum()
        # A mean adds up over entries of one name: the value's part is added to the policy's loss over the same units.
        whole = Metrics().mean("loss", total=value_part, count=0 * units)
        return policy_loss + value_part, policy_metrics + value_metrics + whole


class _OnePass:
    """Hands the policy's objective its statistics, and keeps the values that came with them."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.values: Tensor

    def token_statistics(self, tokens: TokenBatch, **asked_for: Any) -> Any:
        statistics, self.values = self._model.statistics_and_values(tokens, **asked_for)
        return statistics
