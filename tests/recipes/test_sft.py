"""Fine-tuning on a tiny model: what it learns, that packing changes nothing, and that data stay what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.tiny_models import CHATML, KINDS, save_tiny_model, tiny_language_model, tiny_tokenizer

from posttrain import SFTConfig, sft
from posttrain.config.demonstrations import DemonstrationSection
from posttrain.data.conversation_encoding import encode_demonstrations
from posttrain.data.conversation_format import ConversationFormat
from posttrain.data.demonstrations import Demonstration
from posttrain.errors import ConfigError, DataError
from posttrain.models.loading import load_language_model
from posttrain.recipes.demonstrations import open_demonstrations, packed_batch
from posttrain.training.next_token_objective import NextToken


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", seed=1)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(tmp_path: Path, model: Path, rows: list[dict[str, object]], **more: object) -> SFTConfig:
    data = {"path": write(tmp_path / "own.jsonl", rows), "held_out_share": 0.0} | dict(more.pop("data", {}))  # type: ignore[call-overload]
    values = {
        "model": str(model),
        "output": tmp_path / "run",
        "data": data,
        "compute": {"device": "cpu", "dtype": "float32"},
    }
    return SFTConfig.model_validate(values | more)


def greedy(folder: Path, prompt_ids: list[int], max_new: int) -> list[int]:
    trained = load_language_model(folder, dtype="float32", device="cpu")
    ids = list(prompt_ids)
    for _ in range(max_new):
        ids.append(int(trained.causal_lm(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in trained.eos_token_ids:
            break
    return ids[len(prompt_ids) :]


def gradients(kind: str, rows: list[list[tuple[list[int], list[bool]]]]) -> torch.Tensor:
    from posttrain.batches import PackedBatch

    made = tiny_language_model(kind, dtype=torch.float64)
    total, units = 0.0, 0.0
    for row in rows:
        batch = PackedBatch.from_documents([row])
        loss, _ = NextToken()(made, batch)
        total, units = total + loss, units + NextToken().num_units(batch)
    (total / units).backward()  # type: ignore[union-attr]
    return torch.cat([p.grad.flatten() for p in made.model.parameters()])


@pytest.mark.parametrize("kind", KINDS)
def test_packed_is_one_by_one_in_loss_gradients_included(kind):
    texts = [("Hi", "the user"), ("a", "b"), ("What is it?", "nothing at all"), ("x", "y z")]
    demonstrations = [Demonstration(str(n), *pair) for n, pair in enumerate(texts)]
    examples = encode_demonstrations(
        demonstrations, tiny_tokenizer(), ConversationFormat(), max_length=100
    ).examples
    documents = [(list(e.token_ids), e.loss_mask) for e in examples]
    packed = packed_batch(examples, DemonstrationSection(path=Path("x"), max_length=512))
    assert len(packed) == 1
    assert packed.num_targets == sum(e.num_targets for e in examples)
    together = gradients(kind, [[documents[n] for n in (2, 0, 3, 1)]])
    apart = gradients(kind, [[document] for document in documents])
    # Gemma's and Cohere's norms compute in float32 whatever the model's dtype is.
    tolerance = 1e-7 if kind in ("gemma2", "cohere") else 1e-11
    torch.testing.assert_close(together, apart, rtol=100 * tolerance, atol=tolerance)


def test_rows_hold_exactly_the_examples_of_the_step():
    demonstrations = [Demonstration(str(n), "q" * (n + 1), "a" * (n % 3 + 1)) for n in range(9)]
    examples = encode_demonstrations(
        demonstrations, tiny_tokenizer(), ConversationFormat(), max_length=100
    ).examples
    for packing in (True, False):
        section = DemonstrationSection(path=Path("x"), packing=packing, max_length=64)
        batch = packed_batch(examples, section)
        starts = [
            (r, c)
            for r in range(len(batch))
            for c in range(int(batch.lengths[r]))
            if batch.position_ids[r, c] == 0
        ]
        found = []
        for row, start in starts:
            length = 1
            while start + length < batch.lengths[row] and batch.position_ids[row, start + length] == length:
                length += 1
            part = slice(start, start + length)
            found.append((batch.token_ids[row, part].tolist(), batch.loss_mask[row, part].tolist()))
        assert sorted(found) == sorted((list(e.token_ids), e.loss_mask) for e in examples)
        assert len(batch) == (len(examples) if not packing else len(batch))
        assert batch.token_ids.shape[1] <= 64


def test_an_overfitted_answer_is_said_from_its_first_token_to_its_end(tmp_path, model):
    """Labels that are shifted by one, or an end token that is not learned, would show here."""
    rows = [{"prompt": "Hi", "completion": "the user said so"}]
    result = sft(config(tmp_path, model, rows, steps=60, optimizer={"learning_rate": 1e-2}))
    tokenizer = tiny_tokenizer()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, return_dict=False
    )
    answer = tokenizer("the user said so", add_special_tokens=False)["input_ids"]
    assert greedy(result.model_folder, prompt, 30) == [*answer, tokenizer.eos_token_id]
    assert not (result.run_folder / "samples.html").exists()  # nothing was sampled
    assert not (result.run_folder / "samples.jsonl").exists()


def test_without_a_chat_template_a_completion_ends_with_eos(tmp_path):
    plain = save_tiny_model(tmp_path / "plain", "gpt2", chat_template=False)
    rows = [{"question": "3+4", "answer": " 7"}]
    data = {"prompt_column": "question", "completion_column": "answer", "text_format": "Q: {prompt} A:"}
    made = config(tmp_path, plain, rows, steps=40, optimizer={"learning_rate": 1e-2}, data=data)
    tokenizer = tiny_tokenizer(chat_template=False)
    prompt = tokenizer("Q: 3+4 A:", add_special_tokens=False)["input_ids"]
    answer = tokenizer(" 7", add_special_tokens=False)["input_ids"]
    assert greedy(sft(made).model_folder, prompt, 9) == [*answer, tokenizer.eos_token_id]


def test_a_chat_template_from_a_file_is_learned_and_saved(tmp_path):
    plain = save_tiny_model(tmp_path / "plain", chat_template=False, add_bos=True)
    (tmp_path / "chat.jinja").write_text(CHATML)
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    with pytest.raises(
        DataError, match="own/1: it is a list of messages, but the model is used without a chat"
    ):
        sft(config(tmp_path, plain, rows))
    data = {"chat_template_path": tmp_path / "chat.jinja"}
    result = sft(config(tmp_path, plain, rows, data=data))
    trained = load_language_model(result.model_folder, dtype="float32", device="cpu")
    assert trained.tokenizer.chat_template == CHATML
    assert tiny_tokenizer().convert_tokens_to_ids("<|im_end|>") in trained.eos_token_ids
    with pytest.raises(ConfigError, match="cannot be read"):
        sft(config(tmp_path, plain, rows, data={"chat_template_path": tmp_path / "none.jinja"}))


def many(count: int) -> list[dict[str, object]]:
    return [{"prompt": f"number {n}", "completion": f"the {n}"} for n in range(count)]


def test_a_run_learns_and_says_what_it_did(tmp_path, model, capsys):
    rows = [*many(24), {"prompt": "number 3", "completion": "the 3"}]
    made = config(
        tmp_path, model, rows, epochs=4, examples_per_step=5, optimizer={"learning_rate": 5e-3},
        data={"held_out_share": 0.3}, evaluation={"every_steps": 0},
    )  # fmt: skip
    result = sft(made)
    said = capsys.readouterr().out
    metrics = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    num_train = sum(row["examples"] for row in metrics) / 4
    assert num_train == int(num_train)
    assert len(metrics) == result.num_steps == 4 * -(-num_train // 5)
    assert result.before is not None
    assert result.after is not None
    assert result.after["loss"] < result.before["loss"] - 1
    assert result.after["perplexity"] == pytest.approx(2.718281828 ** result.after["loss"])
    assert 0 < result.after["token_accuracy"] <= 1
    assert metrics[-1]["epoch"] == 4
    assert all(row["units"] == row["targets"] for row in metrics)
    assert f"{int(num_train)} examples with {int(num_train)} learned turns" in said
    assert "1 dropped: the same as an earlier one (the first is own/25)" in said
    assert "packing:" in said


def test_lora(tmp_path, model):
    made = config(
        tmp_path,
        model,
        many(4),
        steps=2,
        lora={"r": 2},
        data={"held_out_share": 0.5},
        optimizer={"learning_rate": 1e-2},
    )
    result = sft(made)
    assert (result.model_folder / "adapter").is_dir()
    assert result.before["loss"] != result.after["loss"]
    # The adapter alone goes on, with its base model's tokenizer.
    again = made.model_copy(
        update={"model": str(result.model_folder / "adapter"), "lora": None, "output": tmp_path / "again"}
    )
    assert sft(again).before["loss"] == pytest.approx(result.after["loss"], rel=1e-4)


def test_packing_changes_no_result(tmp_path, model):
    losses = []
    for packing in (True, False):
        folder = tmp_path / str(packing)
        folder.mkdir()
        made = config(folder, model, many(12), steps=3, examples_per_step=6, data={"packing": packing})
        sft(made)
        rows = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
        losses.append([row["loss"] for row in rows] + [row["grad_norm"] for row in rows])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_other_data_do_not_go_on_with_a_run(tmp_path, model):
    made = config(tmp_path, model, many(8), steps=2, optimizer={"schedule": "constant", "warmup_share": 0.0})
    sft(made)
    longer = made.model_copy(update={"steps": 3})
    write(tmp_path / "own.jsonl", many(9))
    with pytest.raises(ConfigError, match="not those that this run was started with"):
        sft(longer)
    write(tmp_path / "own.jsonl", many(8))
    assert sft(longer).step == 3


def test_other_data_before_the_first_checkpoint_are_another_run_too(tmp_path, model, monkeypatch):
    """What was measured before the first step is kept, and would be of other held-out examples."""
    made = config(tmp_path, model, many(8), steps=1, data={"held_out_share": 0.3})
    with monkeypatch.context() as patch:
        patch.setattr("posttrain.training.learner.Learner.update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sft(made)
    write(tmp_path / "own.jsonl", many(9))
    with pytest.raises(ConfigError, match="not those that this run was started with"):
        sft(made)
    write(tmp_path / "own.jsonl", many(8))
    assert sft(made).step == 1


def interrupted(*_args, **_more):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("rows", "more", "error", "reason"),
    [
        ([{"messages": [{"role": "user", "content": "a"}]}], {}, DataError, "line 1: .* no assistant turn"),
        (many(3), {"data": {"max_length": 2}}, DataError, "nothing is left to train on: 3 dropped"),
        ([{"text": "a" * 300}], {}, DataError, "302 tokens.* Set data.max_length = 256"),
        (many(3), {"data": {"held_out_share": 0.999}}, DataError, "all of it is held out"),
        (
            many(3),
            {"data": {"use_chat_template": False, "system_prompt": "S"}},
            DataError,
            "needs a chat template",
        ),
    ],
)
def test_what_cannot_work_is_said(tmp_path, model, rows, more, error, reason):
    with pytest.raises(error, match=reason):
        sft(config(tmp_path, model, rows, **more))


def test_the_held_out_file_is_never_trained_on(tmp_path):
    own = write(tmp_path / "own.jsonl", many(6))
    other = write(tmp_path / "other.jsonl", many(2))
    section = DemonstrationSection(path=own, held_out_path=other, keep_duplicates=True)
    found = open_demonstrations(section, tiny_tokenizer())
    assert [e.demonstration_id for e in found.train] == ["own/3", "own/4", "own/5", "own/6"]
    assert [e.demonstration_id for e in found.held_out] == ["other/1", "other/2"]
    assert str(found.dropped[0]) == "2 dropped: also in the held-out file (the first is own/1)"
    with pytest.raises(ValueError, match="nothing would be left"):
        DemonstrationSection(path=own, held_out_path=own)
