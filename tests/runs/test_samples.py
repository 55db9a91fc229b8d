from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess

import pytest

from posttrain.evaluation.sample import Sample
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import RunLog, read_rows
from posttrain.runs.samples import append_samples, before_after, choose_samples, write_samples_page
from posttrain.types import Prompt, Rollout, Score, ScoredRollout

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<!-- ]]> {{script}} &lt; \u2028 \x1b[2J \u202eexe.txt \ud800 \x00"
)


def scored(prompt_id="p", index=0, value=1.0, text="7", epoch=0, finish="eos"):
    rollout = Rollout(
        Prompt(prompt_id, f"Ask {prompt_id}", epoch=epoch), index, (1, 2), (0.0, 0.0), finish, text, 3
    )
    return ScoredRollout(rollout, Score(value, {"answer": value}, None if value is not None else "it broke"))


def step_of(num_prompts, num_responses, shift=0):
    return [
        scored(f"p{p}", i, float((p + i + shift) % 3 == 0), text=f"r{i}")
        for p in range(num_prompts)
        for i in range(num_responses)
    ]


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def write(folder, steps, *, evaluations=()):
    with folder.lock(), RunLog(folder) as log:
        for step, samples in steps.items():
            append_samples(log.samples, step, samples, keep=8)
            log.write_step(step, {}, {})
        for step, samples in evaluations:
            log.write_evaluation(
                step, {"accuracy": 0.5, "samples": [Sample.of(s).to_dict() for s in samples]}
            )


def page_data(folder, **options):
    page = write_samples_page(folder, title="a <b> run", **options).read_text()
    return page, json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]
    )


def test_samples_read_back_whole_and_have_the_same_bytes_each_time(folder, tmp_path):
    samples = [scored(text=HOSTILE), scored(index=1, value=None)]
    write(folder, {1: samples})
    first, second = read_rows(folder.samples)
    assert first["response"] == HOSTILE
    assert (first["step"], first["score"], first["length"], first["num_in_step"]) == (1, 1.0, 2, 2)
    assert (second["score"], second["failure"]) == (None, "it broke")
    again = RunFolder(tmp_path / "again")
    write(again, {1: samples})
    assert again.samples.read_bytes() == folder.samples.read_bytes()


def test_the_cap_keeps_whole_groups_evenly_spread():
    chosen = choose_samples(step_of(8, 4), 8)
    assert [(s.rollout.prompt.prompt_id, s.rollout.sample_index) for s in chosen] == [
        *[("p0", 0), ("p0", 1), ("p0", 2), ("p0", 3)],
        *[("p4", 0), ("p4", 1), ("p4", 2), ("p4", 3)],
    ]
    assert choose_samples(step_of(2, 4), 8) == step_of(2, 4)


def test_a_large_group_keeps_its_best_and_worst():
    group = [scored(index=i, value=i / 10) for i in range(10)]
    assert [s.score.value for s in choose_samples(group, 3)] == [0.0, 0.5, 0.9]
    assert [s.score.value for s in choose_samples(group, 1)] == [0.9]
    with_unscored = [scored(index=0, value=0.5), scored(index=1, value=None), scored(index=2, value=0.1)]
    assert [s.score.value for s in choose_samples(with_unscored, 2)] == [None, 0.1]


def test_two_passes_of_one_prompt_are_two_groups():
    samples = [scored(index=i, epoch=e) for e in (0, 1) for i in range(4)]
    assert {s.rollout.prompt.epoch for s in choose_samples(samples, 4)} == {0}


def test_the_page_says_what_is_left_out(folder):
    write(folder, {step: step_of(8, 4, step) for step in range(1, 21)})
    page, data = page_data(folder, max_rows=40)
    assert data["numGenerated"] == 20 * 32
    assert data["numKept"] == 20 * 8
    assert sorted({row["step"] for row in data["samples"]}) == [1, 6, 11, 15, 20]
    assert len(data["samples"]) == 40
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")


def test_no_text_gets_out_of_the_data_block(folder):
    hostile = scored(prompt_id=HOSTILE, text=HOSTILE)
    write(folder, {1: [hostile]}, evaluations=[(0, [hostile]), (1, [hostile])])
    page, data = page_data(folder)
    assert page.isascii()
    assert page.count("<script") == 2
    assert page.count("</script") == 2
    assert "<img" not in page
    assert "a &lt;b&gt; run" in page
    assert data["samples"][0]["response"] == HOSTILE
    assert data["beforeAfter"]["rows"][0]["before"]["response"] == HOSTILE


def test_the_policy_names_the_hashes_of_what_is_in_the_page(folder):
    write(folder, {1: [scored()]})
    page, _ = page_data(folder)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#x27;", "'")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_script_writes_text_only():
    from importlib.resources import files

    script = (files("posttrain.runs") / "samples_page.js").read_text()
    for name in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "fetch(",
    ):
        assert name not in script


def test_before_and_after_are_paired_by_prompt_and_sample(folder):
    first = [scored("a", 0, 0.0), scored("b", 0, 0.0)]
    last = [scored("b", 0, 1.0), scored("a", 0, 1.0), scored("c", 0, 1.0)]
    write(folder, {}, evaluations=[(0, first), (5, step_of(1, 1)), (9, last)])
    _, data = page_data(folder)
    pairs = data["beforeAfter"]
    assert (pairs["beforeStep"], pairs["afterStep"]) == (0, 9)
    assert [(r["id"], r["before"]["score"], r["after"]["score"]) for r in pairs["rows"]] == [
        ("b", 0, 1),
        ("a", 0, 1),
    ]
    assert before_after([]) is None
    assert before_after([{"step": 0, "accuracy": 1.0}, {"step": 1, "accuracy": 1.0}]) is None


def test_numbers_that_are_not_finite_do_not_break_the_page(folder):
    nan = float("nan")
    rollout = scored().rollout
    write(folder, {1: [ScoredRollout(rollout, Score(nan, {"a": float("inf"), "b": None, "c": 0.5}))]})
    _, data = page_data(folder)
    assert (data["samples"][0]["score"], data["samples"][0]["parts"]) == (
        None,
        {"a": None, "b": None, "c": 0.5},
    )
    assert read_rows(folder.samples)[0]["parts"]["a"] == float("inf")


def test_very_long_text_is_cut_on_the_page_and_whole_in_the_log(folder):
    write(folder, {1: [scored(text="x" * 100_000 + "end")]})
    _, data = page_data(folder)
    shown = data["samples"][0]["response"]
    assert len(shown) < 21_000
    assert shown.endswith("end")
    assert "80003 characters are in samples.jsonl only" in shown
    assert len(read_rows(folder.samples)[0]["response"]) == 100_003


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_the_samples_and_runs_nothing_of_them(folder):
    hostile = scored(prompt_id="p<i>", text=HOSTILE)
    write(folder, {1: [hostile]}, evaluations=[(0, [hostile]), (1, [hostile])])
    write_samples_page(folder, title="a <b> run")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-component-update "
    flags += "--disable-background-networking --disable-sync --virtual-time-budget=2000 --dump-dom"
    command = [CHROMIUM, *flags.split(), folder.samples_page.resolve().as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    body = dom[dom.index('<main id="rows">') : dom.index("</main>")]
    assert "<title>Samples of a &lt;b&gt; run</title>" in dom
    assert "&lt;img src=x" in body
    assert "<img" not in body
    assert "<i>" not in body
    for code in ("U+202E", "U+001B", "U+2028", "U+0000", "U+D800"):
        assert f">{code}</span>" in body
    assert "1 of 1 samples" in dom
