"""Numbers that say how sure a score is: standard error, Wilson interval, paired bootstrap, pass@k."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z_95 = 1.959963984540054
"""Half the width of a 95 % interval in standard deviations of a normal distribution."""


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Chance that at least one of k samples, drawn from these without replacement, is correct.

    1 - C(n-c, k) / C(n, k), the unbiased estimate of pass@k (Chen et al. 2021, arXiv:2107.03374, eq. 1),
    as a product of k factors below 1, so nothing overflows. ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= num_correct <= num_samples:
        raise ValueError(f"num_correct = {num_correct} must lie between 0 and num_samples = {num_samples}")
    if not 1 <= k <= num_samples:
        raise ValueError(
            f"pass@{k} needs at least {max(k, 1)} samples of a prompt, and there are {num_samples}"
        )
    num_wrong = num_samples - num_correct
    all_wrong = 1.0
    for drawn in range(k):
        all_wrong *= max(0, num_wrong - drawn) / (num_samples - drawn)
    return 1.0 - all_wrong


def powers_of_two_up_to(limit: int) -> tuple[int, ...]:
    """1, 2, 4, ... below `limit`, and `limit` itself: the k of pass@k."""
    ks = [1 << exponent for exponent in range(limit.bit_length()) if 1 << exponent < limit]
    return (*ks, limit)


def mean(values: Sequence[float]) -> float:
    """The mean, exactly rounded. ValueError when there are no values."""
    if not values:
        raise ValueError("no values to take the mean of")
    return math.fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """Standard deviation (n - 1) of the values over the root of their number; None for fewer than two.

    Given one mean per prompt this is the standard error clustered by prompt: samples of one prompt are not
    independent, prompts are.
    """
    if len(values) < 2:
        return None
    centre = mean(values)
    variance = math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))


def wilson_interval(share: float, num_independent: float) -> tuple[float, float]:
    """95 % interval of a share seen in `num_independent` trials; inside [0, 1], and not a point at 0 or 1.

    Wilson (1927). ValueError for a share outside [0, 1] or no trials.
    """
    if not 0 <= share <= 1 or num_independent <= 0:
        raise ValueError(f"no interval for a share of {share} in {num_independent} trials")
    n, z2 = num_independent, Z_95 * Z_95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def clustered_wilson_interval(prompt_shares: Sequence[float], num_samples: int) -> tuple[float, float]:
    """95 % interval of the mean of the prompts' shares, from as many trials as they are worth.

    Samples of one prompt resemble each other, so `num_samples` of them are worth fewer independent trials:
    share x (1 - share) / standard_error^2, at least the number of prompts (where the prompts show no
    variance, the only safe count) and at most `num_samples`.
    """
    share = min(1.0, max(0.0, mean(prompt_shares)))
    error = standard_error(prompt_shares)
    num_prompts = len(prompt_shares)
    if error is None or share in (0.0, 1.0):
        return wilson_interval(share, num_prompts)
    worth = num_samples if error == 0 else share * (1 - share) / (error * error)
    return wilson_interval(share, min(max(worth, num_prompts), max(num_samples, num_prompts)))


def paired_bootstrap_interval(
    differences: Sequence[float], *, seed: int, num_resamples: int = 4000
) -> tuple[float, float]:
    """95 % interval of the mean difference: percentiles over resamples of the pairs, the same for one seed.

    With fewer than about ten pairs it is too narrow. ValueError when there are no pairs.
    """
    import numpy

    if not differences:
        raise ValueError("no pairs to compare")
    values = numpy.asarray(differences, dtype=numpy.float64)
    random = numpy.random.Generator(numpy.random.PCG64(seed))
    means = numpy.empty(num_resamples)
    for index in range(num_resamples):  # one at a time: memory stays that of one resample
        means[index] = values[random.integers(0, len(values), len(values))].mean()
    low, high = numpy.quantile(means, [0.025, 0.975])
    return float(low), float(high)
