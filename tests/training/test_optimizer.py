import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from posttrain.errors import CheckpointError, ConfigError
from posttrain.training import LearningRateSchedule, OptimizerSettings
from posttrain.training.optimizer import Optimizer, global_norm

GOLDEN = json.loads((Path(__file__).parents[1] / "algorithms" / "golden.json").read_text())
CASES = {case["name"]: case for case in GOLDEN["cases"]}


def settings(lr: float = 0.1, **others) -> OptimizerSettings:
    return OptimizerSettings(LearningRateSchedule(lr), **others)


class Tied(nn.Module):
    """An embedding tied to the head, a norm, a matrix and a frozen matrix."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.matrix = nn.Linear(4, 4)
        self.frozen = nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, 7, bias=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.head.weight = self.embedding.weight
        self.frozen.weight.requires_grad_(False)
        self.to(dtype)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.frozen(self.matrix(self.norm(self.embedding(ids)))))


def backward(model: nn.Module, ids: list[int], scale: float = 1.0) -> None:
    (scale * model(torch.tensor(ids)).float().square().mean()).backward()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_golden_first_adam_step(dtype):
    case = CASES["adam_first_step"]
    inputs = case["inputs"]
    model = nn.ParameterDict({"p": nn.Parameter(torch.tensor(inputs["param"], dtype=dtype))})
    optimizer = Optimizer(model, settings(inputs["lr"], betas=tuple(inputs["betas"]), epsilon=inputs["eps"]))
    model["p"].grad = torch.tensor(inputs["grad"], dtype=dtype)
    optimizer.step(optimizer.gradient_norm())
    tolerance = case["tolerance"]["float64" if dtype == torch.float64 else "float32"]
    expected = case["expected"]["param_after"]
    assert float(model["p"].detach()) == pytest.approx(expected, abs=tolerance["atol"], rel=tolerance["rtol"])


def test_tied_parameters_step_once_and_frozen_ones_never():
    model = Tied()
    optimizer = Optimizer(model, settings())
    names = [item.name for item in optimizer.trained]
    assert names == ["embedding.weight", "norm.weight", "norm.bias", "matrix.weight", "matrix.bias"]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    backward(model, [1, 2, 3])
    optimizer.step(optimizer.gradient_norm())
    assert model.head.weight is model.embedding.weight
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == set(names)


def test_weight_decay_spares_norms_biases_and_embeddings():
    model = Tied()
    optimizer = Optimizer(model, settings(lr=0.1, weight_decay=0.5))
    assert [item.name for item in optimizer.trained if item.decays] == ["matrix.weight"]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer.step(optimizer.gradient_norm())  # no gradient anywhere: only the decay acts
    for name, parameter in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if name == "matrix.weight" else 1.0
        torch.testing.assert_close(parameter, before[name] * factor)


def test_half_precision_has_masters_that_keep_small_updates():
    model = Tied(torch.bfloat16)
    optimizer = Optimizer(model, settings(lr=1e-4))
    start = optimizer.masters()["matrix.weight"].clone()
    for _ in range(5):
        backward(model, [1, 2, 3])
        optimizer.step(optimizer.gradient_norm())
    master = optimizer.masters()["matrix.weight"]
    assert master.dtype == torch.float32
    moved = (master - start).abs()
    assert bool((moved > 1e-4).all())  # every step of about 1e-4 was kept
    assert model.matrix.weight.dtype == torch.bfloat16
    step = 2.0**-7 * master.abs()  # at most one step of bfloat16's grid away
    assert bool(((model.matrix.weight.float() - master).abs() <= step).all())
    assert bool((model.matrix.weight == start.bfloat16()).any())  # bfloat16 alone would have lost them


def test_half_precision_gradients_add_up_in_float32():
    model = nn.ParameterDict({"w": nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))})
    optimizer = Optimizer(model, settings())
    for factor in (256.0, 1.0, 1.0, 1.0):
        (model["w"] * factor).sum().backward()
        assert model["w"].grad is None  # freed as soon as it was added
    # In bfloat16 256 + 1 is 256.
    assert optimizer.gradients()[0].tolist() == [259.0, 259.0, 259.0]
    assert optimizer.gradients()[0].dtype == torch.float32


def test_float32_parameters_are_their_own_masters():
    optimizer = Optimizer(Tied(), settings())
    assert not any(item.has_own_master for item in optimizer.trained)


def test_gradients_are_clipped_to_the_norm_and_dropped():
    model = Tied()
    optimizer = Optimizer(model, settings(max_grad_norm=0.5))
    backward(model, [1, 2, 3], scale=1000.0)
    norm = optimizer.gradient_norm()
    assert norm > 0.5
    seen = [g.clone() for g in optimizer.gradients()]
    optimizer.step(norm)
    moments = optimizer.state_dict()
    for item, gradient in zip(optimizer.trained, seen, strict=True):
        torch.testing.assert_close(moments[f"first_moment/{item.name}"], 0.1 * gradient * 0.5 / norm)
    assert all(p.grad is None for p in model.parameters())


def test_a_parameter_without_gradient_counts_as_zero():
    """Or else a rank that used it and one that did not would go apart."""
    one, other = Tied(), Tied()
    first, second = Optimizer(one, settings()), Optimizer(other, settings())
    for model, optimizer in ((one, first), (other, second)):
        backward(model, [1])
        optimizer.step(optimizer.gradient_norm())
    other.matrix.bias.grad = torch.zeros(4)
    for model, optimizer in ((one, first), (other, second)):
        model.matrix.weight.grad = torch.ones(4, 4)
        optimizer.step(optimizer.gradient_norm())
    assert torch.equal(one.matrix.bias, other.matrix.bias)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_norm_is_exact_also_over_many_elements(dtype):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(3_000_001, generator=generator, dtype=dtype) * 1e-3, torch.randn(5, dtype=dtype)]
    exact = math.sqrt(sum(float(t.double().square().sum()) for t in tensors))
    assert global_norm(tensors) == pytest.approx(exact, rel=2e-7)


def test_the_norm_of_strange_tensors():
    assert global_norm([]) == 0.0
    assert global_norm([torch.zeros(3), torch.zeros(0)]) == 0.0
    assert math.isnan(global_norm([torch.tensor([1.0, math.nan])]))
    assert math.isinf(global_norm([torch.ones(2), torch.tensor([math.inf])]))
    assert math.isnan(global_norm([torch.tensor([math.nan]), torch.tensor([math.inf])]))
    assert global_norm([torch.full((2, 3), 2.0).t()]) == pytest.approx(math.sqrt(24))


def test_state_goes_into_another_optimiser_bit_for_bit():
    def trained(steps: int) -> tuple[Tied, Optimizer]:
        model = Tied(torch.bfloat16)
        optimizer = Optimizer(model, settings(lr=0.01, weight_decay=0.1))
        for step in range(steps):
            backward(model, [step % 7, 2])
            optimizer.step(optimizer.gradient_norm())
        return model, optimizer

    model, _ = trained(5)
    _, at_three = trained(3)
    resumed = Tied(torch.bfloat16)
    optimizer = Optimizer(resumed, settings(lr=0.01, weight_decay=0.1))
    state = {name: tensor.clone() for name, tensor in at_three.state_dict().items()}
    optimizer.load_state_dict(state, steps_taken=3)
    for step in (3, 4):
        backward(resumed, [step % 7, 2])
        optimizer.step(optimizer.gradient_norm())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_state_of_another_model_changes_nothing():
    model = Tied()
    optimizer = Optimizer(model, settings())
    before = {name: tensor.clone() for name, tensor in optimizer.state_dict().items()}
    wrong = {name: tensor.clone() + 1 for name, tensor in before.items()}
    odd_shape = wrong | {"second_moment/matrix.bias": torch.zeros(5)}
    with pytest.raises(CheckpointError, match="same precision"):
        optimizer.load_state_dict(odd_shape, steps_taken=1)
    with pytest.raises(CheckpointError, match="same parameters"):
        optimizer.load_state_dict({k: v for k, v in wrong.items() if "norm" not in k}, steps_taken=1)
    for name, tensor in optimizer.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_models_that_cannot_be_trained_are_refused():
    frozen = Tied().requires_grad_(False)
    with pytest.raises(ConfigError, match="no trainable parameter"):
        Optimizer(frozen, settings())
    with pytest.raises(ConfigError, match="bfloat16 or float32"):
        Optimizer(Tied(torch.float16), settings())
    with pytest.raises(ConfigError, match="max_grad_norm"):
        settings(max_grad_norm=0.0)
    with pytest.raises(ConfigError, match="betas"):
        settings(betas=(0.9, 1.0))
