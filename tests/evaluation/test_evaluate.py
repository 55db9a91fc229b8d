from __future__ import annotations

import dataclasses
import json
import math

import pytest
from rich.console import Console

from posttrain.errors import DataError, RewardError
from posttrain.evaluation import (
    Evaluation,
    compare,
    comparison_table,
    evaluate,
    samples_table,
)
from posttrain.evaluation.evaluate import evaluation_sampling
from posttrain.evaluation.printable import printable, prompt_text, shortened
from posttrain.types import Prompt, Rollout, Sampling, Score

SAMPLING = Sampling(1.0, 1.0, 0, 0.0, 8, (), (2,), seed=7, step=31)


class ScriptedEngine:
    """Answers prompt p's sample i with script[p][i]; "cut:" in front means cut by length."""

    def __init__(self, script):
        self.script = script
        self.calls = []

    def generate(self, prompts, sampling, responses_per_prompt, *, progress=None):
        self.calls.append((sampling, responses_per_prompt))
        rollouts = []
        for prompt in prompts:
            for index in range(responses_per_prompt):
                text = self.script[prompt.prompt_id][index]
                reason = "length" if text.startswith("cut:") else "eos"
                ids = tuple(range(len(text)))
                rollouts.append(Rollout(prompt, index, ids, (0.0,) * len(ids), reason, text, 4))
                if progress:
                    progress(len(rollouts), len(prompts) * responses_per_prompt, len(rollouts))
        return rollouts

    def load_weights(self, named_tensors, policy_version):
        raise AssertionError("evaluating must not change the weights")


def exact_match(rollouts):
    def score(rollout):
        if rollout.text == "?":
            return Score(None, failure="not a number \x1b[2J")
        return Score(float(rollout.text == rollout.prompt.columns["answer"]))

    return [score(rollout) for rollout in rollouts]


def prompts(*names):
    return [Prompt(name, f"What is {name}?", {"answer": "7"}, token_ids=(1,)) for name in names]


SCRIPT = {"a": ["7", "7", "7", "7"], "b": ["7", "8", "cut:99", "8"], "c": ["1", "2", "3", "4"]}


def run(script=SCRIPT, reward=exact_match, **options):
    return evaluate(ScriptedEngine(script), prompts(*script), reward, SAMPLING, 4, **options)


def test_fixed_prompts_give_these_metrics():
    result = run()
    assert result.num_prompts == 3
    assert result.samples_per_prompt == 4
    assert result.accuracy == pytest.approx(5 / 12)
    # prompt means 1, 1/4, 0: sample variance 13/48, over 3 prompts
    assert result.standard_error == pytest.approx(math.sqrt(13 / 48 / 3))
    assert result.accuracy_interval == pytest.approx(
        (5 / 12 - 1.959964 * math.sqrt(13 / 144), 1.0053), abs=1e-3
    )
    assert result.correct_share == pytest.approx(5 / 12)
    assert result.pass_at == pytest.approx({1: 5 / 12, 2: (1 + 1 / 2 + 0) / 3, 4: 2 / 3})
    assert result.mean_length == pytest.approx((4 + 1 + 1 + 6 + 1 + 4) / 12)
    assert result.max_length == 6
    assert result.cut_share == pytest.approx(1 / 12)
    assert result.unscored_share == 0
    assert [p.scores for p in result.prompts] == [(1, 1, 1, 1), (1, 0, 0, 0), (0, 0, 0, 0)]
    assert "accuracy 0.417 +- 0.300, pass@4 0.667" in result.summary()


def test_the_dictionary_is_json_and_has_the_samples():
    row = json.loads(json.dumps(run().to_dict(), allow_nan=False))
    assert row["pass_at"]["2"] == pytest.approx(0.5)
    assert row["prompts"][1] == {
        "prompt_id": "b",
        "scores": [1, 0, 0, 0],
        "lengths": [1, 1, 6, 1],
        "num_cut": 1,
    }
    assert row["samples"][6]["response"] == "cut:99"
    assert row["samples"][6]["finish_reason"] == "length"
    assert "samples" not in run().to_dict(with_samples=False)


def test_an_evaluation_comes_back_from_json():
    for result in (run(), run({"a": ["7", "?", "8", "7"]}, max_unscored_share=0.5)):
        row = json.loads(json.dumps({"step": 3, **result.to_dict()}))
        assert Evaluation.from_dict(row) == result
        del row["samples"]
        assert Evaluation.from_dict(row) == dataclasses.replace(result, samples=())
    # keys of a row are sorted as text when logged, and k is a number
    row["pass_at"] = {"1": 0.1, "16": 0.5, "2": 0.2}
    assert list(Evaluation.from_dict(row).pass_at) == [1, 2, 16]


def test_evaluation_draws_its_own_random_numbers_and_the_same_ones_each_time():
    engine = ScriptedEngine(SCRIPT)
    for step in (0, 31):
        evaluate(engine, prompts(*SCRIPT), exact_match, SAMPLING.at_step(step), 4)
    (first, n), (second, _) = engine.calls
    assert first == second
    assert n == 4
    assert first.seed != SAMPLING.seed
    assert (first.temperature, first.max_new_tokens) == (SAMPLING.temperature, SAMPLING.max_new_tokens)
    assert evaluation_sampling(SAMPLING).seed == 3053672750


def test_unscored_responses_are_left_out_and_counted():
    script = {"a": ["7", "?", "8", "7"], "b": ["?", "?", "?", "?"], "c": ["7"] * 4, "d": ["7"] * 4}
    result = run(script, max_unscored_share=0.5)
    assert result.accuracy == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert result.unscored_share == pytest.approx(5 / 16)
    assert result.pass_at == pytest.approx({1: (2 / 3 + 2) / 3, 2: 1.0, 4: 1.0})
    assert result.prompts[1].mean_score is None
    assert json.loads(json.dumps(result.to_dict()))["prompts"][0]["scores"] == [1.0, None, 0.0, 1.0]


def test_too_many_unscored_responses_stop_the_evaluation_and_show_the_first_failure():
    script = {**SCRIPT, "d": ["?"] * 4}
    with pytest.raises(RewardError) as error:
        run(script)
    assert "4 of 16" in str(error.value)
    assert "25%" in str(error.value)
    assert "'d': not a number \\x1b[2J" in str(error.value)
    with pytest.raises(RewardError, match="8 of 8"):
        run({"a": ["?"] * 4, "b": ["?"] * 4}, max_unscored_share=1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_count_as_unscored(bad):
    def reward(rollouts):
        return [Score(bad if i == 0 else 1.0) for i in range(len(rollouts))]

    result = run(reward=reward)
    assert result.accuracy == 1.0
    assert result.unscored_share == pytest.approx(1 / 12)
    assert str(bad) in result.samples[0].failure


def test_zero_is_a_score():
    assert run(reward=lambda rollouts: [Score(0.0)] * len(rollouts)).accuracy == 0.0


def test_partial_credit_is_not_correct():
    result = run(reward=lambda rollouts: [Score(0.99)] * len(rollouts))
    assert (result.accuracy, result.correct_share, result.pass_at[4]) == (pytest.approx(0.99), 0.0, 0.0)
    assert result.correct_interval == pytest.approx((0.0, 0.5615), abs=1e-4)  # worth 3 trials: the prompts


def test_wrong_use_is_refused():
    with pytest.raises(DataError, match="no prompts"):
        evaluate(ScriptedEngine({}), [], exact_match, SAMPLING, 4)
    with pytest.raises(DataError, match="'a@0' stands 2 times"):
        evaluate(ScriptedEngine(SCRIPT), prompts("a", "a"), exact_match, SAMPLING, 4)
    with pytest.raises(ValueError, match="at least one response"):
        evaluate(ScriptedEngine(SCRIPT), prompts("a"), exact_match, SAMPLING, 0)
    with pytest.raises(RewardError, match="gave 1 scores for 12"):
        run(reward=lambda rollouts: [Score(1.0)])


def test_one_prompt_has_no_standard_error():
    result = run({"a": SCRIPT["a"]})
    assert result.standard_error is None
    assert result.accuracy_interval is None
    assert result.summary().startswith("accuracy 1.000, pass@4 1.000")


BETTER = {"a": ["7"] * 4, "b": ["7", "7", "7", "8"], "c": ["1", "7", "3", "\x1b[31m\u202e"]}


def test_comparison_is_paired_by_prompt():
    result = compare(run(), run(BETTER))
    assert result.difference == pytest.approx((0 + 0.5 + 0.25) / 3)
    # changes 0, 1/2, 1/4: sample variance 1/16, over 3
    assert result.standard_error == pytest.approx(math.sqrt(1 / 16 / 3))
    assert (result.num_better, result.num_worse, result.num_equal, result.num_left_out) == (2, 0, 1, 0)
    assert result.interval[0] <= result.difference <= result.interval[1]
    assert not result.is_clear
    assert "which may be chance" in result.summary()
    assert compare(run(), run(BETTER)) == result
    same = compare(run(), run())
    assert (same.difference, same.interval, same.is_clear) == (0.0, (0.0, 0.0), False)


def test_a_large_change_on_many_prompts_is_clear():
    before = {f"p{i}": ["7" if i % 4 == 0 else "1"] * 4 for i in range(40)}
    after = {f"p{i}": ["7" if i % 4 else "1"] * 4 for i in range(40)}
    assert compare(run(before), run(after)).is_clear
    assert compare(run(after), run(before)).interval[1] < 0


def test_different_prompts_are_not_compared():
    with pytest.raises(DataError, match="not of the same prompts"):
        compare(run(), run({"a": ["7"] * 4}))
    half = {"a": ["?"] * 4, "b": ["7"] * 4}
    other = {"a": ["7"] * 4, "b": ["?"] * 4}
    assert compare(run(half, max_unscored_share=1), run({"a": ["7"] * 4, "b": ["1"] * 4})).num_left_out == 1
    with pytest.raises(DataError, match="no prompt was scored"):
        compare(run(half, max_unscored_share=1), run(other, max_unscored_share=1))


def rendered(table):
    console = Console(width=100, record=True, file=open("/dev/null", "w"), color_system=None)  # noqa: SIM115
    with console.file:
        console.print(table)
    return console.export_text()


def test_tables_show_samples_and_no_control_characters():
    hostile = {**SCRIPT, "b": ["[bold]7[/bold] \x1b[2J\u202e", "8\n9", "cut:" + "x" * 500, "8"]}
    text = rendered(samples_table(run(hostile).samples, title="[red]x[/red]"))
    assert "[red]x[/red]" in text
    assert "[bold]7[/bold] \\x1b[2J\\u202e" in text
    assert "8\\n9" in text
    assert "504 (cut)" in text
    assert "\x1b" not in text
    assert "3 of 12" in rendered(samples_table(run(hostile).samples, max_rows=3))
    text = rendered(comparison_table(run(), run(hostile), max_rows=2))
    assert "2 of 3" in text
    assert "1 -> 0" in text


def test_printable_and_shortened():
    assert printable("a\tb\n\x00é漢🎉\u200d\ud800") == "a\\tb\\n\\x00é漢🎉\\u200d\\ud800"
    assert printable("a\nb", keep_newlines=True) == "a\nb"
    assert shortened("0123456789", 10) == "0123456789"
    assert shortened("0123456789abc", 10) == "012 ... bc"
    assert len(shortened("x" * 100, 30)) == 30
    assert prompt_text(Prompt("p", ({"role": "user", "content": "hi"},))) == "hi"
    two = ({"role": "system", "content": "be"}, {"role": "user", "content": "hi"})
    assert prompt_text(Prompt("p", two)) == "system: be\nuser: hi"
