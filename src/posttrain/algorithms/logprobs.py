"""Log-probabilities of the tokens that were taken, and the entropy of the distribution they came from."""

import torch
from torch import Tensor

from posttrain.algorithms.inputs import at_least_float32, check_same_shape, check_temperature


def token_logprobs(logits: Tensor, token_ids: Tensor, *, temperature: float = 1.0) -> Tensor:
    """`log softmax(logits / temperature)` at each token: `[B, T, V], [B, T] -> [B, T]`, in nats.

    `logits[:, t]` is the distribution that `token_ids[:, t]` was drawn from: shift before the call, here
    nothing is. Half-precision logits are read in float32 before the softmax; the result is float32, or
    float64 for float64. Use the sampling temperature for policy, old, reference and rollout alike, or the
    ratio is not 1 on the first pass. Ids must lie in `[0, V)` everywhere, also where a mask will be False.
    Raises ValueError for a temperature that is not positive or shapes that do not fit.
    """
    check_same_shape(token_ids=token_ids, logits_without_vocabulary=logits[..., 0])
    logprobs = log_probabilities(logits, temperature=temperature)
    return logprobs.gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)


def entropy(logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """The entropy `H = -sum_v p_v log p_v` of each state over the vocabulary: `[B, T, V] -> [B, T]`, in nats.

    Its gradient is `dH/dz_v = -p_v (log p_v + H) / temperature`. A logit of -inf contributes 0 to both.
    Range 0 to log V. Raises ValueError for a temperature that is not positive.

    Departs: the note's formula averages `-log pi(a_t|s_t)` over sampled tokens, its pseudocode sums over the
    vocabulary. The sum is meant: the sampled form has zero expected gradient, so as a bonus it does nothing.
    """
    logprobs = log_probabilities(logits, temperature=temperature)
    possible = logprobs > -torch.inf
    # where on the input too: at p = 0 the product 0 * -inf is NaN, and so is its slope
    finite = torch.where(possible | logprobs.isnan(), logprobs, 0.0)
    return -(logprobs.exp() * finite).sum(dim=-1)


def log_probabilities(logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """`log softmax(logits / temperature)` over the last dimension, at least float32; shape of `logits`."""
    check_temperature(temperature)
    logits = at_least_float32(logits, "logits")
    return torch.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)
