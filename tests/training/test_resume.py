"""Stopping after any step and going on from the checkpoint gives the bits of a run that never stopped."""

import functools

import pytest
import torch
from tests.tiny_models import tiny_language_model
from tests.training.made_batches import made_batch, made_tokens
from tests.training.test_learner import Spoiled

from posttrain.training import (
    CheckpointStore,
    Learner,
    LearningRateSchedule,
    OptimizerSettings,
    PolicyGradient,
    plan_minibatches,
    random_state,
    restore_random_state,
)
from posttrain.training.invariants import check_first_ratio

STEPS = 6
SKIPPED = 3  # the step whose gradient is NaN


def new_learner(dtype: torch.dtype, *, seed: int, frozen: bool) -> Learner:
    schedule = LearningRateSchedule(1e-2, kind="cosine", warmup_steps=2, total_steps=2 * STEPS)
    model = tiny_language_model(dtype=dtype, seed=seed)
    if frozen:
        embedding = model.model.get_input_embeddings().weight
        embedding.requires_grad_(False)
        embedding.data.fill_(0.1)  # frozen weights come with the model, not with the learner's state
    return Learner(model, OptimizerSettings(schedule, weight_decay=0.1), microbatch_tokens="auto")


def train_step(learner: Learner, step: int) -> list[dict[str, float]]:
    tokens = made_tokens(seed=int(torch.randint(1 << 30, ())))  # the global generator must be restored too
    minibatches = plan_minibatches(len(tokens), 2, seed=0, step=step, epoch=0)
    batch = made_batch(tokens, learner.logprobs(tokens, 1.0, minibatches=minibatches), drift=0.0)
    goal = PolicyGradient(clip_low=0.2, clip_high=0.2, temperature=1.0, kl_coef=0.1, entropy_coef=0.01)
    check = functools.partial(check_first_ratio, dtype=learner.language_model.dtype)
    found = []
    for index, rows in enumerate(minibatches):
        spoiled = Spoiled(goal, [True] if (step, index) == (SKIPPED, 1) else [])
        found.append(learner.update(batch.select(rows), spoiled, check=check if index == 0 else None))
    return [{name: value for name, value in m.items() if name != "update_seconds"} for m in found]


def same(first: list[dict[str, float]], second: list[dict[str, float]]) -> bool:
    return repr(first) == repr(second)  # NaN is NaN here


@pytest.mark.parametrize("frozen", [False, True], ids=["all", "part"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resuming_at_every_step_gives_the_same_bits(tmp_path, dtype, frozen):
    before = random_state()
    try:
        torch.manual_seed(7)
        store = CheckpointStore(tmp_path, keep=STEPS)
        learner = new_learner(dtype, seed=0, frozen=frozen)
        history = []
        for step in range(1, STEPS + 1):
            history.append(train_step(learner, step))
            tensors, state = learner.state_dict()
            generators, numbers = random_state()
            generators = {f"random/{name}": tensor for name, tensor in generators.items()}
            save = learner.language_model.save
            store.save(step, save, tensors | generators, {"learner": state, "random": numbers})
        assert learner.steps_taken == 2 * STEPS - 1
        final = {name: tensor.clone() for name, tensor in learner.state_dict()[0].items()}
        weights = learner.language_model.model.state_dict()

        for step in range(1, STEPS):
            torch.manual_seed(99)
            checkpoint = store.load(tmp_path / f"step_{step:08d}")
            resumed = new_learner(dtype, seed=5, frozen=frozen)
            if frozen:
                kept = {
                    n: p for n, p in learner.language_model.model.named_parameters() if not p.requires_grad
                }
                resumed.language_model.model.load_state_dict(kept, strict=False)
            saved = checkpoint.tensors
            generators = {n.removeprefix("random/"): t for n, t in saved.items() if n.startswith("random/")}
            own = {n: t for n, t in saved.items() if not n.startswith("random/")}
            resumed.load_state_dict(own, checkpoint.state["learner"])
            restore_random_state(generators, checkpoint.state["random"])
            for later in range(step + 1, STEPS + 1):
                assert same(train_step(resumed, later), history[later - 1]), (step, later)
            for name, tensor in resumed.state_dict()[0].items():
                assert torch.equal(tensor, final[name]), (step, name)
            for name, tensor in resumed.language_model.model.state_dict().items():
                assert torch.equal(tensor, weights[name]), (step, name)
            assert resumed.state_dict()[1] == learner.state_dict()[1]
    finally:
        restore_random_state(*before)
