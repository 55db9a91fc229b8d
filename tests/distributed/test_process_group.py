"""Two and four gloo processes: the same step as one process on the same rows."""

import math

import pytest
import torch
from tests.distributed.ranks import run_ranks
from tests.training.made_batches import made_batch, made_learner, made_tokens

from posttrain.training import PolicyGradient
from posttrain.training.optimizer import global_norm

pytestmark = pytest.mark.slow

GOAL = {
    "clip_low": 0.2,
    "clip_high": 0.2,
    "temperature": 0.8,
    "max_response_length": 20,
    "kl_coef": 0.1,
    "kl": "k2",
}
NAMES = ("loss", "kl_loss", "grad_norm", "ratio_mean", "ratio_max", "approx_kl", "tokens", "units")
STEPS = 3
# Rows of each rank: ragged, and in the two-rank case of very different token counts.
SHARES = {1: [range(8)], 2: [[0, 2, 3, 4, 5, 6], [1, 7]], 4: [[0, 1, 2], [3], [], [4, 5, 6, 7]]}


def train(ranks, aggregation: str, dtype_name: str, share: list[list[int]]) -> dict:
    dtype = getattr(torch, dtype_name)
    learner = made_learner(dtype=dtype, collectives=ranks, microbatch_tokens=40)
    learner.optimizer._adam.param_groups[0]["eps"] = 1e-2
    tokens = made_tokens()
    old = made_learner(dtype=dtype, microbatch_tokens=40).logprobs(tokens, 0.8)
    rank = 0 if ranks is None else ranks.rank
    batch = made_batch(tokens, old).select(list(share[rank]))
    goal = PolicyGradient(**GOAL, aggregation=aggregation)
    metrics = [learner.update(batch, goal) for _ in range(STEPS)]
    return {
        "metrics": [{name: m[name] for name in NAMES} for m in metrics],
        "weights": [p.double().sum().item() for p in learner.language_model.model.parameters()],
        "norm": global_norm([p.detach().double() for p in learner.language_model.model.parameters()]),
    }


def shares(world_size: int) -> list[list[int]]:
    return [list(rows) for rows in SHARES[world_size]]


def collect(ranks) -> dict:
    text = {"rank": ranks.rank, "word": "x" * (10 * ranks.rank)}
    tensor = torch.arange(3.0) * (ranks.rank + 1)
    gradients = [torch.full((2, 3), float(ranks.rank)).t(), torch.ones(5), torch.ones(2, dtype=torch.float64)]
    ranks.bucket_bytes = 24
    ranks.sum_gradients_(gradients)
    return {
        "gather": ranks.gather(text),
        "sum": ranks.sum(0.1 * (ranks.rank + 1)),
        "tensor": ranks.sum_tensor(tensor).tolist(),
        "left alone": tensor.tolist(),
        "gradients": [g.tolist() for g in gradients],
        "any": [ranks.any(ranks.rank == 1), ranks.any(False)],
        "all": [ranks.all(True), ranks.all(ranks.rank == 1)],
        "main": ranks.is_main,
    }


def spoil_one_rank(ranks) -> dict:
    learner = made_learner(collectives=ranks)
    tokens = made_tokens(seed=ranks.rank)
    batch = made_batch(tokens, learner.logprobs(tokens, 0.8))
    goal = PolicyGradient(**GOAL)
    learner.update(batch, goal)
    before = global_norm(list(learner.optimizer.masters().values()))
    batch.advantages[0, 0] = math.nan if ranks.rank == 1 else 1.0
    metrics = learner.update(batch, goal)
    after = global_norm(list(learner.optimizer.masters().values()))
    return {"skipped": metrics["skipped"], "same": before == after, "steps": learner.steps_taken}


class Failing(PolicyGradient):
    """Raises on rank 1, in the middle of its micro-batches."""

    def __call__(self, model, microbatch):
        if torch.distributed.get_rank() == 1 and len(microbatch) < 3:
            raise ZeroDivisionError("the original words")
        return super().__call__(model, microbatch)


def fail_on_one_rank(ranks, where: str) -> None:
    learner = made_learner(collectives=ranks, microbatch_tokens=40)
    tokens = made_tokens()
    batch = made_batch(tokens, learner.logprobs(tokens, 0.8))

    def check(metrics) -> None:
        raise ValueError("a check that fails everywhere")

    if where == "objective":
        learner.update(batch, Failing(**GOAL))
    else:
        learner.update(batch, PolicyGradient(**GOAL), check=check)


def start_apart(ranks) -> None:
    made_learner(collectives=ranks, seed=ranks.rank)


WORKS = {
    2: {
        "collectives": (collect, ()),
        "objective fails": (fail_on_one_rank, ("objective",)),
        "check fails": (fail_on_one_rank, ("check",)),
        "nan": (spoil_one_rank, ()),
        "apart": (start_apart, ()),
        "token float64": (train, ("token", "float64", shares(2))),
        "sequence float32": (train, ("sequence", "float32", shares(2))),
    },
    4: {
        "sequence float64": (train, ("sequence", "float64", shares(4))),
        "constant bfloat16": (train, ("constant", "bfloat16", shares(4))),
    },
}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """What every work gave, by (world size, name), one entry for each rank."""
    results = {}
    for world_size, works in WORKS.items():
        folder = tmp_path_factory.mktemp(f"ranks{world_size}")
        given = run_ranks(list(works.values()), world_size, folder)
        results |= {(world_size, name): one for name, one in zip(works, given, strict=True)}
    return results


@pytest.mark.parametrize(
    ("world_size", "aggregation", "dtype"),
    [(2, "token", "float64"), (2, "sequence", "float32"), (4, "sequence", "float64")],
)
def test_ranks_train_like_one_process(found, world_size, aggregation, dtype):
    expected = train(None, aggregation, dtype, [list(range(8))])
    results = [one["result"] for one in found[world_size, f"{aggregation} {dtype}"]]
    assert all(result == results[0] for result in results)  # every rank has the same bits
    tolerance = {"float64": 1e-11, "float32": 1e-5}[dtype]
    for mine, others in zip(results[0]["metrics"], expected["metrics"], strict=True):
        assert mine == pytest.approx(others, rel=tolerance, abs=tolerance)
    assert results[0]["weights"] == pytest.approx(expected["weights"], rel=tolerance, abs=10 * tolerance)
    assert results[0]["norm"] == pytest.approx(expected["norm"], rel=tolerance)


def test_half_precision_ranks_stay_together(found):
    """Their sum differs from one process's by bfloat16's rounding; the masters are equal among themselves."""
    results = [one["result"] for one in found[4, "constant bfloat16"]]
    assert all(result == results[0] for result in results)
    expected = train(None, "constant", "bfloat16", [list(range(8))])
    first, alone = results[0]["metrics"][0], expected["metrics"][0]
    assert first["units"] == alone["units"]
    assert first["loss"] == pytest.approx(alone["loss"], abs=0.05)


def test_collectives(found):
    for rank, given in enumerate(found[2, "collectives"]):
        one = given["result"]
        assert one["gather"] == [{"rank": 0, "word": ""}, {"rank": 1, "word": "x" * 10}]
        assert one["sum"] == 0.1 + 0.2
        assert one["tensor"] == [0.0, 3.0, 6.0]
        assert one["left alone"] == [0.0, rank + 1.0, 2 * (rank + 1.0)]
        assert one["gradients"] == [[[1.0, 1.0]] * 3, [2.0] * 5, [2.0] * 2]
        assert one["any"] == [True, False]
        assert one["all"] == [True, False]
        assert one["main"] is (rank == 0)


def test_nan_on_one_rank_skips_the_step_on_all(found):
    for one in found[2, "nan"]:
        assert one["result"] == {"skipped": 1.0, "same": True, "steps": 1}


def test_an_error_on_one_rank_ends_all_with_its_words(found):
    first, second = found[2, "objective fails"]
    assert second["error"] == "ZeroDivisionError: the original words"
    assert "in __call__" in second["trace"]
    assert first["error"].startswith("PeerError: rank 1 failed, so rank 0 stops too")
    assert "ZeroDivisionError: the original words" in first["error"]
    assert "in __call__" in first["error"]  # with the place


def test_a_failing_check_raises_on_all(found):
    for one in found[2, "check fails"]:
        assert one["error"] == "ValueError: a check that fails everywhere"


def test_ranks_that_start_from_other_weights_are_refused(found):
    for one in found[2, "apart"]:
        assert "ranks [1] start from other weights" in one["error"]
