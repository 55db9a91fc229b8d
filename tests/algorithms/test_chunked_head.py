"""The chunked form says what the unchunked equations say, gradients included, and never holds [tokens, V]."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from posttrain.algorithms import (
    ReferenceHead,
    TokenStatistics,
    chunked_head,
    entropy,
    exact_kl,
    token_logprobs,
    token_statistics_from_hidden,
)

N, H, V = 13, 6, 19


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64
    )


IDS = torch.randint(0, V - 2, (N,), generator=torch.Generator().manual_seed(0))


def unchunked(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, reference: ReferenceHead | None, temperature: float
) -> TokenStatistics:
    logits = torch.nn.functional.linear(hidden, weight, bias)
    kls: list[Tensor | None] = [None, None]
    if reference is not None:
        other = torch.nn.functional.linear(reference.hidden, reference.weight, reference.bias)
        kls = [exact_kl(logits, other, direction=d, temperature=temperature) for d in ("forward", "reverse")]
    logp = token_logprobs(logits, IDS[: len(hidden)], temperature=temperature)
    return TokenStatistics(logp, entropy(logits, temperature=temperature), *kls)


def gradients(found: TokenStatistics, inputs: list[Tensor]) -> list[Tensor]:
    total = sum((x * randn(len(x), seed=s)).sum() for s, x in enumerate(found) if x is not None)
    return list(torch.autograd.grad(total, inputs))


@pytest.mark.parametrize("chunk_size", [1, 4, 5, 13, 1000, None])
@pytest.mark.parametrize("excluded", [False, True], ids=["bias", "bias of -inf"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("tile_rows", [3, 1000])
def test_chunked_equals_unchunked(
    chunk_size: int | None,
    excluded: bool,
    temperature: float,
    tile_rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunked_head, "TILE_ELEMENTS", tile_rows * V)
    bias, other_bias = randn(V, seed=1), randn(V, seed=2)
    if excluded:
        bias[-2:] = other_bias[-2:] = -torch.inf
    hidden, weight = randn(N, H).requires_grad_(), randn(V, H).requires_grad_()
    inputs = [hidden, weight] if excluded else [hidden, weight, bias.requires_grad_()]
    reference = ReferenceHead(randn(N, 4), randn(V, 4), other_bias, "both")
    found = token_statistics_from_hidden(
        hidden,
        weight,
        IDS,
        head_bias=bias,
        temperature=temperature,
        with_entropy=True,
        reference=reference,
        chunk_size=chunk_size,
    )
    expected = unchunked(hidden, weight, bias, reference, temperature)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)
    for a, b in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("asked", ["logprobs", "entropy", "forward_kl", "reverse_kl"])
def test_each_statistic_alone(asked: str) -> None:
    hidden, weight = randn(N, H).requires_grad_(), randn(V, H).requires_grad_()
    direction: Any = {"forward_kl": "forward", "reverse_kl": "reverse"}.get(asked)
    reference = ReferenceHead(randn(N, 4), randn(V, 4), None, direction) if direction else None
    found = token_statistics_from_hidden(
        hidden, weight, IDS, with_entropy=asked == "entropy", reference=reference, chunk_size=4
    )
    wanted = {"logprobs", asked}
    assert {name for name, x in found._asdict().items() if x is not None} == wanted
    expected = unchunked(hidden, weight, None, reference, 1.0)
    a, b = getattr(found, asked), getattr(expected, asked)
    torch.testing.assert_close(a, b)
    for x, y in zip(*(torch.autograd.grad(z.sum(), [hidden, weight]) for z in (a, b)), strict=True):
        torch.testing.assert_close(x, y)


def test_shapes_of_a_batch_and_of_nothing() -> None:
    hidden, weight, ids = randn(2, 3, H).requires_grad_(), randn(V, H).requires_grad_(), IDS[:6].view(2, 3)
    found = token_statistics_from_hidden(hidden, weight, ids, with_entropy=True, chunk_size=4)
    logits = hidden @ weight.T
    torch.testing.assert_close(found.logprobs, token_logprobs(logits, ids))
    torch.testing.assert_close(found.entropy, entropy(logits))
    none = token_statistics_from_hidden(hidden[:0], weight, ids[:0], with_entropy=True)
    assert none.logprobs.shape == (0, 3)
    none.logprobs.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()


def test_kl_to_itself_is_exactly_zero() -> None:
    hidden, weight = randn(N, H).float(), randn(V, H).float()
    found = token_statistics_from_hidden(
        hidden, weight, IDS, reference=ReferenceHead(hidden, weight, None, "both"), chunk_size=4
    )
    assert found.forward_kl is not None
    assert found.reverse_kl is not None
    assert not found.forward_kl.any()
    assert not found.reverse_kl.any()


def test_only_what_requires_a_gradient_gets_one() -> None:
    hidden, weight = randn(N, H).requires_grad_(), randn(V, H)
    token_statistics_from_hidden(hidden, weight, IDS).logprobs.sum().backward()
    assert hidden.grad is not None
    hidden, weight = hidden.detach(), weight.requires_grad_()
    token_statistics_from_hidden(hidden, weight, IDS).logprobs.sum().backward()
    assert weight.grad is not None
    with torch.no_grad():
        assert not token_statistics_from_hidden(hidden, weight, IDS).logprobs.requires_grad


@pytest.mark.parametrize("weight_dtype", [torch.bfloat16, torch.float32])
def test_half_precision_hidden_states_give_float32_statistics(weight_dtype: torch.dtype) -> None:
    hidden = randn(200, 16).bfloat16().requires_grad_()
    weight = randn(V, 16).to(weight_dtype).requires_grad_()
    ids = torch.arange(200) % V
    found = token_statistics_from_hidden(hidden, weight, ids, with_entropy=True, chunk_size=7)
    assert found.entropy is not None
    assert found.logprobs.dtype == found.entropy.dtype == torch.float32
    logits = (hidden @ weight.bfloat16().T).double().detach()
    torch.testing.assert_close(found.logprobs.double(), token_logprobs(logits, ids), atol=2e-2, rtol=0)
    by_hidden, by_weight = torch.autograd.grad(found.logprobs.sum(), [hidden, weight])
    assert (by_hidden.dtype, by_weight.dtype) == (torch.bfloat16, weight_dtype)
    exact_hidden, exact_weight = (x.detach().double().requires_grad_() for x in (hidden, weight.bfloat16()))
    exact = torch.autograd.grad(
        token_logprobs(exact_hidden @ exact_weight.T, ids).sum(), [exact_hidden, exact_weight]
    )
    for a, b in zip((by_hidden, by_weight), exact, strict=True):
        # 29 chunks: summed in bfloat16 the error would grow with them
        assert (a.double() - b).norm() < 0.01 * b.norm()


class Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else (out,):
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.numel())
        return out


def test_no_tensor_is_larger_than_a_chunk_of_logits() -> None:
    tokens, width, vocabulary, rows = 300, 3, 50, 8
    hidden, weight = randn(tokens, width).requires_grad_(), randn(vocabulary, width).requires_grad_()
    reference = ReferenceHead(randn(tokens, width), randn(vocabulary, width), None, "both")
    with Largest() as largest:
        found = token_statistics_from_hidden(
            hidden,
            weight,
            torch.zeros(tokens, dtype=torch.long),
            with_entropy=True,
            reference=reference,
            chunk_size=rows,
        )
        gradients(found, [hidden, weight])
    assert largest.elements == max(tokens * width, rows * vocabulary)


def test_wrong_arguments_are_refused() -> None:
    hidden, weight = randn(N, H), randn(V, H)
    with pytest.raises(ValueError, match="chunk_size"):
        token_statistics_from_hidden(hidden, weight, IDS, chunk_size=0)
    with pytest.raises(ValueError, match="width"):
        token_statistics_from_hidden(hidden, randn(V, H + 1), IDS)
    with pytest.raises(ValueError, match="shapes differ"):
        token_statistics_from_hidden(hidden, weight, IDS[:-1])
    with pytest.raises(ValueError, match="vocabularies"):
        token_statistics_from_hidden(hidden, weight, IDS, reference=ReferenceHead(hidden, randn(V + 1, H)))
    reference = ReferenceHead(hidden, weight, None, "sideways")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="direction"):
        token_statistics_from_hidden(hidden, weight, IDS, reference=reference)
    with pytest.raises(ValueError, match="temperature"):
        token_statistics_from_hidden(hidden, weight, IDS, temperature=0.0)
