import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posttrain.batches import PolicyBatch, TokenBatch
from posttrain.types import Prompt, Rollout

T, F = True, False


def rollout(prompt: tuple[int, ...], response: tuple[int, ...]) -> Rollout:
    logprobs = tuple(-1.0 for _ in response)
    return Rollout(Prompt("p", "?", token_ids=prompt), 0, response, logprobs, "eos", "", 0)


def policy_batch(tokens: TokenBatch, **others) -> PolicyBatch:
    values = torch.arange(tokens.response_mask.numel(), dtype=torch.float32).view(tokens.response_mask.shape)
    return PolicyBatch(tokens, values, values + 100, values + 200, **others)


def test_the_example_of_the_docstring():
    batch = TokenBatch.from_rollouts([rollout((5, 6), (7, 2)), rollout((5,), (9,))])
    assert batch.token_ids.tolist() == [[5, 6, 7, 2], [5, 9, 0, 0]]
    assert batch.prompt_lengths.tolist() == [2, 1]
    assert batch.response_lengths.tolist() == [2, 1]
    assert batch.response_mask.tolist() == [[T, T], [T, F]]
    assert batch.lengths.tolist() == [4, 2]
    assert (len(batch), batch.max_response_length) == (2, 2)


def test_response_ids_and_the_positions_that_predict_them():
    batch = TokenBatch.from_rollouts([rollout((5, 6, 7), (8,)), rollout((5,), (9, 3, 2))])
    assert batch.response_ids.tolist() == [[8, 0, 0], [9, 3, 2]]
    positions = batch.predicting_positions
    assert positions[0, 0] == 2  # token 8 stands at 3 and is predicted at 2
    assert positions[1].tolist() == [0, 1, 2]
    # Every position can be gathered, also behind a row's end.
    assert int(positions.max()) < batch.token_ids.shape[1]
    predicted = batch.token_ids.gather(1, positions + 1 - (positions == 3).long())
    assert predicted[1].tolist() == [9, 3, 2]


def test_a_sampled_id_0_is_a_token_and_not_padding():
    batch = TokenBatch.from_rollouts([rollout((0, 0), (0, 4, 0)), rollout((1,), (2,))])
    assert batch.response_mask.tolist() == [[T, T, T], [T, F, F]]
    assert batch.response_ids.tolist() == [[0, 4, 0], [2, 0, 0]]


@given(
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 7)), min_size=1, max_size=8),
    data=st.data(),
)
def test_selected_rows_are_the_rows_made_alone(lengths, data):
    rollouts = [
        rollout(tuple(range(10 + i, 10 + i + p)), tuple(range(50 + i, 50 + i + r)))
        for i, (p, r) in enumerate(lengths)
    ]
    batch = TokenBatch.from_rollouts(rollouts)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=10))
    selected, alone = batch.select(rows), TokenBatch.from_rollouts([rollouts[row] for row in rows])
    for field in dataclasses.fields(TokenBatch):
        assert torch.equal(getattr(selected, field.name), getattr(alone, field.name)), field.name
    assert torch.equal(selected.response_ids, alone.response_ids)


def test_select_keeps_a_mask_narrower_than_the_response():
    batch = TokenBatch.from_rollouts([rollout((5,), (7, 8, 2)), rollout((5,), (9,))])
    mask = torch.tensor([[T, F, T], [F, F, F]])
    batch = dataclasses.replace(batch, response_mask=mask)
    assert batch.select([0]).response_mask.tolist() == [[T, F, T]]
    assert batch.select([1]).response_mask.tolist() == [[F]]


def test_no_rows_at_all():
    empty = TokenBatch.from_rollouts([])
    assert (len(empty), empty.max_response_length) == (0, 0)
    assert empty.response_ids.shape == (0, 0)
    some = TokenBatch.from_rollouts([rollout((5,), (7, 2))])
    none = some.select([])
    assert len(none) == 0
    assert none.token_ids.shape == (0, 0)
    assert none.response_ids.shape == (0, 0)
    assert len(policy_batch(some).select([])) == 0


def test_a_response_without_a_token():
    batch = TokenBatch.from_rollouts([rollout((5, 6), ()), rollout((5,), (9,))])
    assert batch.response_mask.tolist() == [[F], [T]]
    assert batch.response_ids.tolist() == [[0], [9]]
    assert batch.select([0]).response_mask.shape == (1, 0)


def test_a_policy_batch_cuts_everything_alike():
    tokens = TokenBatch.from_rollouts([rollout((5,), (7, 8, 2)), rollout((5, 6), (9, 2))])
    hidden = torch.randn(2, 3, 4)
    batch = policy_batch(tokens, reference_hidden=hidden, importance_weights=torch.ones(2, 3))
    part = batch.select([1])
    assert part.advantages.tolist() == [[3.0, 4.0]]
    assert part.old_logprobs.tolist() == [[103.0, 104.0]]
    assert part.rollout_logprobs.tolist() == [[203.0, 204.0]]
    assert torch.equal(part.reference_hidden, hidden[1:, :2])
    assert part.importance_weights.shape == (1, 2)
    assert part.reference_logprobs is None
    assert torch.equal(part.lengths, part.tokens.lengths)


def test_moving_moves_every_tensor():
    tokens = TokenBatch.from_rollouts([rollout((5,), (7,))])
    batch = policy_batch(tokens, reference_logprobs=torch.zeros(1, 1)).to("meta")
    assert batch.tokens.token_ids.device.type == "meta"
    for field in dataclasses.fields(PolicyBatch):
        value = getattr(batch, field.name)
        if isinstance(value, torch.Tensor):
            assert value.device.type == "meta"
    assert batch.importance_weights is None


def test_batches_are_frozen():
    tokens = TokenBatch.from_rollouts([rollout((5,), (7,))])
    with pytest.raises(dataclasses.FrozenInstanceError):
        tokens.token_ids = torch.zeros(1, 1)
