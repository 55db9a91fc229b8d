"""Lines of samples and rankings files."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.data.comparisons import load_rankings
from posttrain.errors import DataError
from posttrain.preferences import SampledPrompt, encode_ranking, encode_sample, read_samples
from posttrain.preferences.scripted_annotator import ScriptedAnnotator
from posttrain.types import Message, Ranking


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_sample_reads_back(tmp_path_factory, responses):
    path = tmp_path_factory.mktemp("samples") / "samples.jsonl"
    prompt = (Message(role="system", content="Be brief."), Message(role="user", content="3 + 4?"))
    reasons = ("length",) * len(responses)
    sample = SampledPrompt(
        "q/1", prompt, tuple(responses), reasons, 7, "tiny", {"answer": "7", "task": "sums"}
    )
    line = encode_sample(sample)
    assert line.count(b"\n") == 1
    path.write_bytes(line)
    assert read_samples(path) == [sample]
    assert sample.num_duplicates == 7 - len(responses)
    rollout = sample.rollouts()[0]
    assert (rollout.text, rollout.prompt.columns["answer"]) == (responses[0], "7")


def test_a_response_that_is_no_unicode_text_can_be_written(tmp_path):
    broken = SampledPrompt("q/1", "a?", ("\ud83d", "b\u2028c"), ("eos", "stop"), 2)
    (tmp_path / "samples.jsonl").write_bytes(encode_sample(broken))
    assert read_samples(tmp_path / "samples.jsonl") == [broken]


def test_lines_of_others_need_prompt_and_responses_alone(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text('{"prompt": "a?", "responses": ["b", "c"], "answer": 1}\n')
    assert read_samples(path) == [
        SampledPrompt("samples/1", "a?", ("b", "c"), ("eos", "eos"), 2, columns={"answer": 1})
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a?"}, "no column 'responses'"),
        ({"prompt": "a?", "response": ["b"]}, "did you mean 'response'"),
        ({"prompt": "a?", "responses": "b"}, "must be a list of texts"),
        ({"prompt": "a?", "responses": [1]}, "must be a list of texts"),
        ({"prompt": "a?", "responses": []}, "empty"),
        ({"prompt": "", "responses": ["b"]}, "'prompt'"),
        ({"responses": ["b"]}, "no column 'prompt'"),
        ({"prompt": "a?", "responses": ["b"], "finish_reasons": ["end"]}, "'eos', 'stop' or 'length'"),
        ({"prompt": "a?", "responses": ["b"], "finish_reasons": ["eos", "eos"]}, "2 finish_reasons for 1"),
        ({"prompt": "a?", "responses": ["b", "c"], "num_drawn": 1}, "num_drawn"),
    ],
)
def test_bad_lines_name_file_and_line(tmp_path, row, message):
    path = tmp_path / "samples.jsonl"
    path.write_text('{"prompt": "fine?", "responses": ["b"]}\n' + json.dumps(row) + "\n")
    with pytest.raises(DataError, match=message) as caught:
        read_samples(path)
    assert "samples.jsonl, line 2" in str(caught.value)


def test_what_was_cut_by_length_stays_known_when_it_is_ranked(tmp_path):
    sample = SampledPrompt("q/1", "a?", ("b", "c", "d"), ("eos", "length", "stop"), 3)
    line = encode_ranking(ScriptedAnnotator("anna").rank(sample, [0.0, 2.0, 1.0]))
    (tmp_path / "rankings.jsonl").write_bytes(line)
    found = load_rankings(tmp_path / "rankings.jsonl")
    assert [(item.responses, item.ranks) for item in found.rankings] == [(("b", "d"), (1, 0))]
    # People add a column to the samples file.
    by_people = json.loads(encode_sample(sample)) | {"ranks": [2, 0, 1]}
    (tmp_path / "people.jsonl").write_text(json.dumps(by_people))
    assert load_rankings(tmp_path / "people.jsonl").rankings[0].responses == ("b", "d")


def test_a_ranking_is_one_line_of_the_agreed_columns():
    ranking = Ranking("q/1/anna", "3 + 4?", ("8", "7"), (1, 0), "anna")
    assert json.loads(encode_ranking(ranking)) == {
        "id": "q/1/anna",
        "prompt": "3 + 4?",
        "responses": ["8", "7"],
        "ranks": [1, 0],
        "annotator": "anna",
    }
    weighed = Ranking("q/1/ben", "3 + 4?", ("8", "7"), (1, 0), "ben", weight=0.5, margin=2.0)
    assert json.loads(encode_ranking(weighed)).items() >= {"weight": 0.5, "margin": 2.0}.items()
