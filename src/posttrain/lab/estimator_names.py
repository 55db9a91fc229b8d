"""What tables and pictures call an estimator."""

from __future__ import annotations

from posttrain.lab.advantage_estimates import Estimator


def estimator_name(estimator: Estimator) -> str:
    """For example `TD (λ 0)`, `GAE λ 0.9, K 4`, `MC (λ 1)`; no K stands for the whole response."""
    if estimator.gae_lambda == 0.0 or estimator.horizon == 1:
        return "TD (λ 0)"
    if estimator.horizon is None:
        return "MC (λ 1)" if estimator.gae_lambda == 1.0 else f"GAE λ {estimator.gae_lambda:g}"
    return f"GAE λ {estimator.gae_lambda:g}, K {estimator.horizon}"
