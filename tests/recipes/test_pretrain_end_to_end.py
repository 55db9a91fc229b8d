"""Pre-training on small texts: what it learns, what it measures, and what it refuses."""

from __future__ import annotations

import json
import math

import pytest
import torch
from tests.tiny_models import save_tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from posttrain import PretrainConfig, pretrain
from posttrain.errors import ConfigError, DataError, ModelError

TEXT = "the cat sat on the mat. the rat sat on the cat. " * 40


def config_of(tmp_path, **changes):
    if not (tmp_path / "text.txt").exists():
        (tmp_path / "text.txt").write_text(TEXT)
    settings = {
        "output": tmp_path / "run",
        "steps": 6,
        "rows_per_step": 4,
        "sequence_length": 16,
        "data": {"path": str(tmp_path / "text.txt")},
        "new_model": {"layers": 2, "width": 32, "heads": 4},
        "tokenizer": {"kind": "characters"},
        "compute": {"dtype": "float32", "device": "cpu", "microbatch_tokens": 64},
        "evaluation": {"every_steps": 3},
    }
    return PretrainConfig.model_validate(settings | changes)


def rows_of(tmp_path, name):
    return [json.loads(line) for line in (tmp_path / "run" / name).read_text().splitlines()]


def test_it_learns_a_text_and_leaves_a_model(tmp_path):
    result = pretrain(
        config_of(tmp_path, steps=60, optimizer={"learning_rate": 1e-2}, evaluation={"every_steps": 30})
    )
    assert result.before["loss"] == pytest.approx(
        math.log(4 + 12), abs=0.1
    )  # 12 characters, 4 special tokens
    assert result.after["loss"] < 0.7
    assert result.alarms == ()
    assert [row["step"] for row in rows_of(tmp_path, "evaluations.jsonl")] == [0, 30, 60]
    metrics = rows_of(tmp_path, "metrics.jsonl")
    assert [row["step"] for row in metrics] == list(range(1, 61))
    assert metrics[0]["units"] == 64
    assert (tmp_path / "run/curve.png").exists()
    AutoModelForCausalLM.from_pretrained(result.model_folder)
    tokenizer = AutoTokenizer.from_pretrained(result.model_folder)
    assert tokenizer.decode(tokenizer("the cat", add_special_tokens=False)["input_ids"]) == "the cat"


def test_what_is_measured_is_the_plain_models_loss_window_by_window(tmp_path):
    """The slow twin: the saved model, one window at a time, with full logits."""
    result = pretrain(config_of(tmp_path))
    model = AutoModelForCausalLM.from_pretrained(result.model_folder)
    tokenizer = AutoTokenizer.from_pretrained(result.model_folder)
    text = TEXT[int(len(TEXT) * 0.9) :]
    ids = [
        tokenizer.bos_token_id,
        *tokenizer(text, add_special_tokens=False)["input_ids"],
        tokenizer.eos_token_id,
    ]
    nats = 0.0
    for start in range(0, len(ids) - 1, 16):
        window = torch.tensor(ids[start : start + 17])
        with torch.no_grad():
            logits = model(window[None, :-1]).logits[0].double()
        nats += float(torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum"))
    assert result.after["loss"] == pytest.approx(nats / (len(ids) - 1), rel=1e-5)
    assert result.after["bits_per_byte"] == pytest.approx(nats / math.log(2) / len(text.encode()), rel=1e-5)
    assert result.after["perplexity"] == pytest.approx(math.exp(nats / (len(ids) - 1)), rel=1e-4)


def test_many_documents_of_bytes_from_records(tmp_path):
    lines = [json.dumps({"body": f"row {i}: é"}) for i in range(40)]
    (tmp_path / "pages.jsonl").write_text("\n".join(lines))
    (tmp_path / "held.txt").write_text("row 7: é")
    data = {
        "path": str(tmp_path / "pages.jsonl"),
        "column": "body",
        "held_out_path": str(tmp_path / "held.txt"),
    }
    result = pretrain(config_of(tmp_path, data=data, tokenizer={"kind": "bytes"}))
    contents = json.loads((tmp_path / "run/tokens/contents.json").read_text())
    assert contents["train"]["documents"] == 40
    assert contents["train"]["targets"] == contents["train"]["bytes"] + 40
    assert contents["held_out"] == {"documents": 1, "targets": 10, "bytes": 9, "unknown": 0}
    assert result.after["loss"] < result.before["loss"]


def test_nothing_held_out_measures_nothing(tmp_path):
    result = pretrain(config_of(tmp_path, data={"path": str(tmp_path / "text.txt"), "held_out_share": 0.0}))
    assert (result.before, result.after) == (None, None)
    assert result.model_folder is not None


def test_characters_that_training_lacks_are_counted(tmp_path, capsys):
    (tmp_path / "held.txt").write_text("the dog")
    data = {"path": str(tmp_path / "text.txt"), "held_out_path": str(tmp_path / "held.txt")}
    pretrain(config_of(tmp_path, data=data, steps=1))
    assert "of them 2 characters that the training text lacks" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_it_goes_on_from_a_checkpoint_with_its_tokenizer(tmp_path, kind):
    save_tiny_model(tmp_path / "model", kind, seed=1, chat_template=False)
    changes = {"new_model": None, "model": str(tmp_path / "model"), "tokenizer": {}}
    result = pretrain(config_of(tmp_path, **changes, optimizer={"learning_rate": 1e-3}))
    assert result.after["loss"] < result.before["loss"]
    assert AutoModelForCausalLM.from_pretrained(result.model_folder).config.model_type == kind


def test_another_models_tokenizer(tmp_path):
    save_tiny_model(tmp_path / "other", chat_template=False)
    result = pretrain(config_of(tmp_path, tokenizer={"model": str(tmp_path / "other")}, steps=1))
    assert len(AutoTokenizer.from_pretrained(result.model_folder)) == len(
        AutoTokenizer.from_pretrained(tmp_path / "other")
    )
    with pytest.raises(ModelError, match="no tokenizer of the name"):
        pretrain(config_of(tmp_path, tokenizer={"model": str(tmp_path / "text.txt")}, output=tmp_path / "x"))


def test_a_checkpoint_that_reads_less_than_a_row_is_refused(tmp_path):
    save_tiny_model(tmp_path / "model", "gpt2", chat_template=False)
    config = config_of(
        tmp_path, new_model=None, model=str(tmp_path / "model"), tokenizer={}, sequence_length=256
    )
    with pytest.raises(ConfigError, match="Set sequence_length = 255 or less"):
        pretrain(config)
    assert not (tmp_path / "run/tokens").exists()


@pytest.mark.slow
def test_gradient_checkpointing_changes_no_number(tmp_path):
    losses = []
    for name, on in (("a", False), ("b", True)):
        compute = {"dtype": "float32", "device": "cpu", "gradient_checkpointing": on, "microbatch_tokens": 64}
        losses.append(pretrain(config_of(tmp_path, compute=compute, output=tmp_path / name)).after["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_changed_text_is_another_experiment(tmp_path):
    pretrain(config_of(tmp_path, optimizer={"schedule": "constant", "warmup_share": 0.0}))
    (tmp_path / "text.txt").write_text(TEXT + "more")
    with pytest.raises(ConfigError, match=r"not what .* began with"):
        pretrain(config_of(tmp_path, optimizer={"schedule": "constant", "warmup_share": 0.0}, steps=8))


@pytest.mark.slow
def test_a_run_may_be_made_longer_where_no_schedule_counts_its_steps(tmp_path):
    constant = {"schedule": "constant", "warmup_share": 0.0}
    first = pretrain(config_of(tmp_path, optimizer=constant))
    ids = tmp_path / "run/tokens/train.ids"
    ids.write_bytes(ids.read_bytes()[:-1])  # a damaged token store is made again
    longer = pretrain(config_of(tmp_path, optimizer=constant, steps=9))
    at_once = pretrain(config_of(tmp_path, optimizer=constant, steps=9, output=tmp_path / "at_once"))
    assert longer.before == first.before
    assert longer.after == at_once.after


@pytest.mark.parametrize(
    ("text", "changes", "error", "message"),
    [
        ("  \n", {}, DataError, "every document is empty"),
        ("x", {}, DataError, "too short for data.held_out_share|no text is left"),
        (TEXT, {"tokenizer": {"vocab_size": 100}}, ConfigError, "vocab_size = 100 is too small"),
    ],
)
def test_wrong_inputs_are_said_before_any_step(tmp_path, text, changes, error, message):
    (tmp_path / "text.txt").write_text(text)
    with pytest.raises(error, match=message):
        pretrain(config_of(tmp_path, **changes))
    assert not (tmp_path / "run/metrics.jsonl").exists() or rows_of(tmp_path, "metrics.jsonl") == []


def test_a_missing_file_is_said_before_the_run_begins(tmp_path):
    with pytest.raises(DataError, match=r"did you mean 'text\.txt'"):
        pretrain(config_of(tmp_path, data={"path": str(tmp_path / "txt.txt")}))
    assert not (tmp_path / "run").exists()
