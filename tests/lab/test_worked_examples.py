from __future__ import annotations

import math

import pytest
import torch

from posttrain.lab import worked_examples

EXAMPLES = {example.name: example for example in worked_examples()}


def test_only_the_total_of_the_weather_example_differs_from_the_note() -> None:
    assert [name for name, example in EXAMPLES.items() if not example.agrees] == ["KL(B, A), total"]
    wrong = EXAMPLES["KL(B, A), total"]
    assert wrong.ours == pytest.approx(0.6 * math.log(0.6 / 0.7) + 0.3 * math.log(0.3 / 0.2))
    assert f"{wrong.ours:.3f}" == "0.029"
    assert wrong.remark


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("TD error, 6.0 -> 7.2", 1.2),
        ("K = 3, lambda 0.9", 1.2 + 0.9 * 0.3 + 0.81 * 0.8),
        ("K = 5, lambda 0.9", 1.2 + 0.9 * 0.3 + 0.81 * 0.8 - 0.729 * 0.2 + 0.6561 * 0.5),
        ("K = 4, lambda 0.0", 1.2),
        ("K = 4, lambda 0.5", 1.525),
        ("K = 4, lambda 0.9", 1.9722),
        ("K = 4, lambda 1.0", 2.1),
        ("ratio, 0.1 -> 0.3", 3.0),
        ("clipped objective / A", 1.2),
        ("entropy, fair coin", math.log(2)),
        ("entropy, rigged coin", -0.99 * math.log(0.99) - 0.01 * math.log(0.01)),
    ],
)
def test_each_number_by_hand(name: str, number: float) -> None:
    assert EXAMPLES[name].ours == pytest.approx(number)


def test_the_notes_stop_gradient_snippet_raises() -> None:
    """docs/lab.md says so: after detach nothing asks for a gradient, so backward is an error, not a no-op."""
    x = torch.tensor([1.0], requires_grad=True)
    loss = (x * 2).detach() * 3
    with pytest.raises(RuntimeError, match="does not require grad"):
        loss.backward()
