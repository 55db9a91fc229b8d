"""A prompt computed once for its whole group gives the numbers and the gradients of the plain path."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_models import tiny_language_model

from posttrain.batches import TokenBatch
from posttrain.models import shared_prompt
from posttrain.types import Prompt, Rollout

# rotary + grouped-query attention, absolute positions, untied with norms, sliding windows + soft-capping
KINDS = ("llama", "gpt2", "qwen3", "gemma2")


def batch(prompt_lengths=(5, 3, 9), group=4, seed=0) -> TokenBatch:
    generator = torch.Generator().manual_seed(seed)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, 40, (n,), generator=generator).tolist())

    prompts = [Prompt(str(i), "?", token_ids=ids(n)) for i, n in enumerate(prompt_lengths)]
    rollouts = [
        Rollout(prompt, i, ids(1 + (3 * i + n) % 6), (0.0,), "eos", "", 0)
        for n, prompt in enumerate(prompts)
        for i in range(group)
    ]
    order = torch.randperm(len(rollouts), generator=generator).tolist()
    return TokenBatch.from_rollouts([rollouts[i] for i in order])


def model(kind: str):
    return tiny_language_model(kind, seed=3, dtype=torch.float64)


def both(kind: str, tokens: TokenBatch):
    """(logprobs, gradients) by the shared and by the plain path."""
    found = []
    for shares in (True, False):
        language_model = model(kind)
        language_model._decoder._packs_tokens = False
        language_model._decoder._shares_prompts = shares
        statistics = language_model.token_statistics(tokens, temperature=0.9, entropy=True)
        weights = torch.linspace(-1, 1, statistics.logprobs.numel(), dtype=torch.float64)
        ((statistics.logprobs + 0.3 * statistics.entropy).flatten() * weights).sum().backward()
        gradients = {name: p.grad for name, p in language_model.model.named_parameters()}
        found.append((statistics.logprobs.detach(), gradients))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_and_gradients_are_those_of_the_plain_path(kind):
    tokens = batch()
    assert shared_prompt.is_worth_sharing(tokens)
    (shared, shared_gradients), (plain, plain_gradients) = both(kind, tokens)
    torch.testing.assert_close(shared, plain, rtol=0, atol=1e-6)
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(shared_gradients[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_finds_out_that_it_can(kind):
    assert model(kind)._decoder._can_share_prompts()


def test_a_model_that_cannot_is_found_out(monkeypatch):
    """Positions off by one: the trial must notice, or training would silently use wrong numbers."""
    language_model = model("gpt2")
    right = shared_prompt.shared_prompt_hidden_states

    def wrong(trunk, tokens):
        import dataclasses

        return right(trunk, dataclasses.replace(tokens, token_ids=tokens.token_ids.roll(1, dims=1)))

    monkeypatch.setattr(shared_prompt, "shared_prompt_hidden_states", wrong)
    assert not language_model._decoder._can_share_prompts()


def test_responses_of_one_token_need_the_prompt_only():
    tokens = batch(prompt_lengths=(6,), group=6).select([0, 1, 2])
    tokens = TokenBatch(
        tokens.token_ids[:, : int(tokens.prompt_lengths.max()) + 1],
        tokens.prompt_lengths,
        torch.ones(3, dtype=torch.long),
        torch.ones(3, 1, dtype=torch.bool),
    )
    (shared, _), (plain, _) = both("llama", tokens)
    torch.testing.assert_close(shared, plain, rtol=0, atol=1e-6)


def test_rows_without_company_take_the_plain_path():
    assert not shared_prompt.is_worth_sharing(batch(prompt_lengths=(5, 3, 9), group=1))


def test_groups_are_found_by_their_ids():
    tokens = batch(prompt_lengths=(4, 4), group=3)
    groups = tokens.prompt_groups
    for row, first in enumerate(groups):
        n = int(tokens.prompt_lengths[row])
        assert first <= row
        assert torch.equal(tokens.token_ids[row, :n], tokens.token_ids[first, :n])
    assert len(set(groups)) == 2
