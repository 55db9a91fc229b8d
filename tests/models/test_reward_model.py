"""A frozen reward model reads what its training wrote, whatever the padding, company or policy."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from tests.tiny_models import EOS, IM_END, save_tiny_model, tiny_language_model, tiny_tokenizer
from tests.tiny_reward_models import CALIBRATION, save_tiny_reward_model, tiny_scalar_model
from transformers import AutoModelForSequenceClassification

from posttrain.batches import TokenBatch
from posttrain.data.chat_template import decode_response, encode_prompts, encode_response, end_of_response
from posttrain.data.conversation_format import ConversationFormat, reads_the_same
from posttrain.errors import DataError, ModelError
from posttrain.models.lora import add_lora_to_scalar_model
from posttrain.models.reward_model import Calibration, RewardModel, RewardModelDescription, raw_scores
from posttrain.models.scalar_model import load_scalar_model
from posttrain.rollouts.torch_engine import TorchEngine
from posttrain.types import Message, Prompt, Rollout, Sampling

GOLDEN = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[1] / "algorithms" / "golden.json").read_text())["cases"]
}
PLAIN = ConversationFormat()


def rollout(tokenizer, content, text: str, *, conversation: ConversationFormat = PLAIN, **more) -> Rollout:
    """What a policy with this tokenizer hands over, in the tokenizer's own tokens."""
    prompt = conversation.encode_prompts([Prompt("p", content)], tokenizer)[0]
    ids = conversation.encode_response(text, tokenizer)
    return dataclasses.replace(Rollout(prompt, 0, ids, (-1.0,) * len(ids), "eos", text, 0), **more)


TEXTS = ("the user uses", "no", "", "ENDD! and a longer answer, the longest of all of them here")


def rollouts(tokenizer=None, conversation: ConversationFormat = PLAIN) -> list[Rollout]:
    tokenizer = tokenizer or tiny_tokenizer()
    contents = ("What is it?", "Why?")
    return [
        rollout(tokenizer, content, text, conversation=conversation) for content in contents for text in TEXTS
    ]


def opened(folder: Path, *, normalize: bool = False, **more) -> RewardModel:
    model = load_scalar_model(folder, dtype=torch.float32, device="cpu")
    return RewardModel(model, RewardModelDescription.read(str(folder)), normalize=normalize, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_reward_model(tmp_path_factory.mktemp("reward") / "model", seed=4)


def told(model: RewardModel, tokenizer=None, conversation: ConversationFormat = PLAIN) -> list[str]:
    notes: list[str] = []
    model.expect_policy(tokenizer or tiny_tokenizer(), conversation, notes.append)
    return notes


# ---- what training encodes is what a policy samples


@pytest.mark.parametrize("chat", [True, False])
def test_encoded_text_is_a_rollouts_ids(chat):
    """A canonical response has the same ids from an engine and from a file, the end included."""
    policy = tiny_language_model(chat_template=chat)
    end = IM_END if chat else EOS
    assert end_of_response(policy.tokenizer) == end
    assert end in policy.eos_token_ids
    prompts = encode_prompts([Prompt(f"p{i}", "Say the user") for i in range(6)], policy.tokenizer)
    sampling = Sampling(1.0, 1.0, 0, 0.0, 24, (), tuple({*policy.eos_token_ids, *range(60, 90)}), 0, 0)
    found = [r for r in TorchEngine(policy).generate(prompts, sampling, 8) if r.finish_reason == "eos"]
    assert found
    canonical = 0
    for sampled in found:
        text = decode_response(policy.tokenizer, sampled.response_ids[:-1], ())
        again = encode_response(text, policy.tokenizer)
        if policy.tokenizer(text, add_special_tokens=False)["input_ids"] == list(sampled.response_ids[:-1]):
            canonical += 1
            assert again == (*sampled.response_ids[:-1], end)
            assert (
                encode_prompts([Prompt("p", "Say the user")], policy.tokenizer)[0].token_ids
                == sampled.prompt.token_ids
            )
    assert canonical


def test_encode_response_needs_an_end():
    tokenizer = tiny_tokenizer(chat_template=False)
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="no end-of-sequence token"):
        encode_response("a", tokenizer)


# ---- where the score is read


def test_golden_place_of_the_score():
    """The last real token of each row, whatever the padding, also where an end of sequence stands within it."""
    case, expected = (
        GOLDEN["rm_last_token_index"]["inputs"],
        GOLDEN["rm_last_token_index"]["expected"]["index"],
    )
    rows = [
        [i for i, counts in zip(ids, mask, strict=True) if counts]
        for ids, mask in zip(case["input_ids"], case["attention_mask"], strict=True)
    ]
    starts = [mask.index(1) for mask in case["attention_mask"]]
    assert [start + len(row) - 1 for start, row in zip(starts, rows, strict=True)] == expected
    model = tiny_scalar_model(seed=1)
    tokens = TokenBatch.from_rollouts(
        [
            Rollout(Prompt("p", "", token_ids=tuple(row[:1])), 0, tuple(row[1:]), (), "eos", "", 0)
            for row in rows
        ]
    )
    scores = raw_scores(model, tokens)
    for row, score in zip(rows, scores, strict=True):
        with torch.no_grad():
            hidden = model.model.base_model(input_ids=torch.tensor([row])).last_hidden_state[0, -1]
            assert score == pytest.approx(float(hidden @ model.head.weight[0]), abs=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3", "gemma2"])
def test_a_score_does_not_depend_on_company_or_batching(tmp_path, kind):
    folder = save_tiny_reward_model(tmp_path / "model", kind, seed=2)
    together = opened(folder)
    told(together)
    expected = together.score_rollouts(rollouts())
    assert len(set(expected)) > 4
    alone = [together.score_rollouts([one])[0] for one in rollouts()]
    assert alone == pytest.approx(expected, abs=1e-5)
    small = opened(folder, batch_tokens=1)
    told(small)
    assert small.score_rollouts(rollouts()[::-1]) == pytest.approx(expected[::-1], abs=1e-5)
    assert together.score_rollouts([]) == []


def test_the_folder_opens_in_transformers_and_says_the_same(folder):
    model = opened(folder)
    told(model)
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    for one, score in zip(rollouts(), model.score_rollouts(rollouts()), strict=True):
        ids = torch.tensor([[*one.prompt.token_ids, *one.response_ids]])
        with torch.no_grad():
            assert float(plain(input_ids=ids).logits) == pytest.approx(score, abs=1e-4)


# ---- frozen


def test_scoring_leaves_no_gradient_and_repeats_itself(folder):
    scalar_model = load_scalar_model(folder, dtype=torch.float32, device="cpu")
    scalar_model.model.train()
    model = RewardModel(scalar_model, normalize=False)
    told(model)
    assert model.score_rollouts(rollouts()) == model.score_rollouts(rollouts())
    for parameter in scalar_model.model.parameters():
        assert not parameter.requires_grad
        assert parameter.grad is None


# ---- who wrote it


def test_ids_are_read_as_sampled_from_a_policy_of_the_same_tokenizer(folder):
    """An uncommon tokenisation of a text is scored as it was sampled, and not as the text would be encoded."""
    tokenizer, model = tiny_tokenizer(), opened(folder)
    common = rollout(tokenizer, "?", "the")
    letters = tuple(i for letter in "the" for i in tokenizer(letter, add_special_tokens=False)["input_ids"])
    uncommon = dataclasses.replace(common, response_ids=(*letters, IM_END))
    assert len(uncommon.response_ids) > len(common.response_ids)
    anew = model.score_rollouts([uncommon, common])
    assert anew[0] == pytest.approx(anew[1], abs=1e-5)
    assert told(model) == []
    as_sampled = model.score_rollouts([uncommon, common])
    assert as_sampled[1] == pytest.approx(anew[1], abs=1e-5)
    assert abs(as_sampled[0] - as_sampled[1]) > 1e-3


def test_another_tokenizer_is_read_as_text_and_said_once(folder):
    """Ids of the policy mean other words to the reward model: its own encoding counts."""
    model = opened(folder)
    told(model)
    expected = model.score_rollouts(rollouts())
    strange = tiny_tokenizer(chat_template=False)
    assert len(notes := told(model, strange)) == 1
    assert "another tokenizer" in notes[0]
    foreign = [
        dataclasses.replace(
            one,
            prompt=dataclasses.replace(one.prompt, token_ids=(7, 8, 9)),
            response_ids=tuple(i + 3 for i in one.response_ids),
        )
        for one in rollouts()
    ]
    assert model.score_rollouts(foreign) == pytest.approx(expected, abs=1e-5)


def test_the_end_is_the_one_of_training(folder):
    """A policy may end with another of its end tokens, or by a stop string, which leaves none."""
    tokenizer, model = tiny_tokenizer(), opened(folder)
    told(model)
    usual = rollout(tokenizer, "?", "the user")
    by_other_id = dataclasses.replace(usual, response_ids=(*usual.response_ids[:-1], EOS))
    stop = tuple(tokenizer("###", add_special_tokens=False)["input_ids"])
    by_string = dataclasses.replace(
        usual, response_ids=(*usual.response_ids[:-1], *stop), finish_reason="stop"
    )
    found = model.score_rollouts([usual, by_other_id, by_string])
    assert found == pytest.approx([found[0]] * 3, abs=1e-5)


def test_what_makes_two_ways_of_writing_the_same():
    one, other = tiny_tokenizer(), tiny_tokenizer()
    assert reads_the_same(one, PLAIN, other, PLAIN)
    assert reads_the_same(one, PLAIN, other, ConversationFormat(system_prompt="Be brief."))
    assert not reads_the_same(one, PLAIN, other, ConversationFormat(use_chat_template=False))
    other.chat_template = "{{ messages[0]['content'] }}"
    assert not reads_the_same(one, PLAIN, other, PLAIN)
    unlike = ConversationFormat(text_format="Q: {prompt}", use_chat_template=False)
    alike = ConversationFormat(use_chat_template=False)
    assert not reads_the_same(one, unlike, other, alike)
    assert reads_the_same(one, alike, other, alike)
    bigger = tiny_tokenizer()
    bigger.add_tokens(["<think>"])
    assert not reads_the_same(one, PLAIN, bigger, PLAIN)


def test_a_strange_policys_system_prompt_is_read_too(folder):
    model, strange = opened(folder), tiny_tokenizer()
    strange.add_tokens(["<think>"])
    without = model.score_rollouts(rollouts())
    told(model, strange, ConversationFormat(system_prompt="Be brief."))
    with_prompt = model.score_rollouts(rollouts())
    messages = (Message(role="system", content="Be brief."), Message(role="user", content="What is it?"))
    told(model)
    expected = model.score_rollouts([rollout(tiny_tokenizer(), messages, TEXTS[0])])
    assert with_prompt[0] == pytest.approx(expected[0], abs=1e-5)
    assert abs(with_prompt[0] - without[0]) > 1e-3


def test_the_format_of_training_is_kept(tmp_path):
    written = ConversationFormat(text_format="Q: {prompt}\nA:", use_chat_template=False)
    folder = save_tiny_reward_model(tmp_path / "model", conversation=written)
    model = opened(folder)
    assert model.description.conversation == written
    anew = model.score_rollouts(rollouts())
    assert told(model, conversation=written) == []
    assert model.score_rollouts(rollouts(conversation=written)) == pytest.approx(anew, abs=1e-5)


def test_too_long_is_no_number(folder):
    model = opened(folder)
    told(model)
    long = dataclasses.replace(rollouts()[0], response_ids=(60,) * 300)
    found = model.score_rollouts([rollouts()[1], long])
    assert found[0] == found[0]
    assert found[1] != found[1]


# ---- calibration


def test_calibrated_answers_have_mean_0_and_deviation_1_also_after_a_reload(tmp_path):
    model = tiny_scalar_model(seed=5)
    tokens = TokenBatch.from_rollouts(rollouts())
    calibration = Calibration.of_scores(raw_scores(model, tokens), "8 answers")
    model.save(tmp_path)
    RewardModelDescription(calibration=calibration).write(tmp_path)
    again = opened(tmp_path, normalize=True)
    told(again)
    scores = torch.tensor(again.score_rollouts(rollouts()), dtype=torch.float64)
    assert float(scores.mean()) == pytest.approx(0.0, abs=1e-3)
    assert float(scores.std()) == pytest.approx(1.0, abs=1e-3)
    assert again.description.calibration == calibration


def test_equal_scores_have_scale_1_and_too_few_are_refused():
    assert Calibration.of_scores([0.5, 0.5], "two").scale == 1.0
    for scores in ([], [1.0], [1.0, float("nan")]):
        with pytest.raises(ModelError, match="cannot be calibrated"):
            Calibration.of_scores(scores, "few")


def test_a_damaged_description_is_refused(folder, tmp_path):
    copy = save_tiny_reward_model(tmp_path / "model")
    (copy / "reward_model.json").write_text('{"format": 1')
    with pytest.raises(ModelError, match=r"reward_model.json cannot be read"):
        RewardModel.open(copy, dtype=torch.float32, device="cpu")
    assert RewardModel.open(folder, dtype=torch.float32, device="cpu").description.calibration == CALIBRATION


def test_a_language_model_is_no_reward_model(tmp_path):
    with pytest.raises(ModelError, match="no reward or value model"):
        RewardModel.open(save_tiny_model(tmp_path / "model"), dtype=torch.float32, device="cpu")


# ---- LoRA


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_starts_from_nothing_trains_with_the_head_and_is_merged_when_saved(tmp_path, kind, dtype):
    tokens = TokenBatch.from_rollouts(rollouts())
    model = tiny_scalar_model(kind, seed=6, dtype=dtype)
    before = raw_scores(model, tokens)
    add_lora_to_scalar_model(model, 4, 8.0, seed=1)
    assert model.has_adapter
    assert raw_scores(model, tokens) == pytest.approx(before, abs=1e-6)
    trained = {name for name, parameter in model.model.named_parameters() if parameter.requires_grad}
    assert "score.weight" in trained
    assert all(".lora_" in name or name == "score.weight" for name in trained)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            if ".lora_" in name:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    after = raw_scores(model, tokens)
    assert after != pytest.approx(before, abs=1e-2)
    model.save(tmp_path)
    again = load_scalar_model(tmp_path, dtype=torch.float32, device="cpu")
    assert not again.has_adapter
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert not any("lora" in name for name, _ in plain.named_parameters())
    assert plain.dtype == torch.float32
    # In bfloat16 the trained model itself rounds its sums, which the merged float32 one does not.
    assert raw_scores(again, tokens) == pytest.approx(after, abs=1e-4 if dtype == torch.float32 else 0.15)


def test_wrong_adapter_targets_are_named():
    with pytest.raises(ModelError, match="did you mean 'q_proj'"):
        add_lora_to_scalar_model(tiny_scalar_model(), 4, 8.0, ["q_pro"])
