"""The comparisons of a reward-model run: read, split, checked and rendered before a model is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from posttrain.algorithms.plackett_luce import MAX_TIED
from posttrain.batches import PreferenceBatch, RankedRollouts
from posttrain.config.reward_model import ComparisonSection, RewardModelConfig
from posttrain.data.comparisons import count_dropped, prompt_key, split_by_prompt
from posttrain.data.conversation_format import ConversationFormat
from posttrain.data.demonstrations import Dropped
from posttrain.data.held_out import content_number
from posttrain.errors import ConfigError, DataError
from posttrain.recipes.stored_rankings import come_from_store, rankings_of
from posttrain.rewards.build import nearest
from posttrain.runs.metric_names import count_text
from posttrain.runs.run_folder import RunFolder
from posttrain.types import Prompt, Ranking, Rollout

ALL_TIED = "all responses are tied, and ties are left out"
HOLDS_ITS_END = "a response contains the token that ends one, which no policy would go on behind"
TOO_LONG = "a response with its prompt has more than data.max_length tokens"
EQUAL_AFTER_CUTTING = "all responses are the same after they were cut to data.max_length"


@dataclass(frozen=True, slots=True)
class RenderedRanking:
    """A ranking with the ids of its responses; each has its end, unless it was cut."""

    ranking: Ranking
    rollouts: tuple[Rollout, ...]

    @property
    def ranked(self) -> RankedRollouts:
        """As a batch takes it."""
        return RankedRollouts(self.rollouts, self.ranking.ranks, self.ranking.weight, self.ranking.margin)


@dataclass(frozen=True)
class Comparisons:
    """Rankings to train on and to measure on, and sentences for the user about what was left out or cut."""

    train: Sequence[RenderedRanking]
    held_out: Sequence[RenderedRanking]
    remarks: tuple[str, ...]

    def batch(self, numbers: Iterable[int]) -> PreferenceBatch:
        """The training rankings of these numbers."""
        return PreferenceBatch.from_rankings([self.train[number].ranked for number in numbers])

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with its response."""
        items = (*self.train, *self.held_out)
        return max(len(r.prompt.token_ids) + len(r.response_ids) for item in items for r in item.rollouts)

    @property
    def fingerprint(self) -> str:
        """A digest of what is trained on and what is held out, in order."""
        digest = hashlib.sha256()
        for part in (self.train, self.held_out):
            for item in part:
                own = item.ranking
                digest.update(json.dumps([own.ranks, own.weight, own.margin]).encode())
                digest.update(str([(r.prompt.token_ids, r.response_ids) for r in item.rollouts]).encode())
            digest.update(b"|")
        return digest.hexdigest()


def conversation_format(data: ComparisonSection) -> ConversationFormat:
    """How this run writes conversations, and how the trained model is to be read."""
    return ConversationFormat(data.system_prompt, data.text_format, data.use_chat_template)


class ReadComparisons(NamedTuple):
    """Both sides of the data, not rendered, and sentences for the user about what was left out."""

    train: list[Ranking]
    held_out: list[Ranking]
    remarks: list[str]


def read_comparisons(config: RewardModelConfig, *, keep: bool = False) -> ReadComparisons:
    """The rankings of the files, every line checked, or of stores, as far as that needs no tokenizer.

    With `keep` the run's folder keeps what a store holds, for when it is resumed. DataError or ConfigError for lines
    that cannot be used, and for files that leave nothing to train on.
    """
    data, folder = config.data, RunFolder(config.output)
    (found, _), remarks = rankings_of(data.path, folder, folder.rankings, keep=keep)
    if data.held_out_path is None:
        train, held_out = split_by_prompt(found, data.held_out_share)
    else:
        (held_out, _), more = rankings_of(data.held_out_path, folder, folder.held_out_rankings, keep=keep)
        train, remarks = found, [*remarks, *more, *_shared_prompts(found, held_out)]
    train = _weighted(train, data.annotator_weights, known={r.annotator for r in found})
    if config.preference.kind != "plackett_luce" and config.preference.ties == "leave_out":
        train, tied = _without_ties(train)
        remarks += map(str, tied)
    most = config.evaluation.max_rankings
    by_content = sorted(held_out, key=lambda r: content_number(f"{prompt_key(r)}|{r.annotator}"))[:most]
    held_out, tied = _without_ties(by_content)
    remarks += [f"held out: {entry}" for entry in tied]
    if not train:
        raise _nothing_left(config, remarks)
    if config.preference.kind == "plackett_luce":
        _check_sizes_of_ties(train)
    return ReadComparisons(train, held_out, remarks)


def open_comparisons(config: RewardModelConfig, tokenizer: Any) -> Comparisons:
    """Both sides of the data, rendered. DataError or ConfigError for what cannot be trained on or measured."""
    data = config.data
    train, held_out, remarks = read_comparisons(config, keep=True)
    if data.prompt_weights == "equal" or (data.prompt_weights == "auto" and come_from_store(data.path)):
        train = _each_prompt_once(train)
    rendered_train, left_out, num_cut = _rendered(train, data, tokenizer)
    remarks += [str(entry) for entry in left_out]
    rendered_held, left_out, held_cut = _rendered(held_out, data, tokenizer)
    remarks += [f"held out: {entry}" for entry in left_out]
    if num_cut or held_cut:
        remarks.append(
            f"cut to data.max_length = {data.max_length} tokens: {count_text(num_cut + held_cut, 'response')}"
        )
    if not rendered_train:
        raise _nothing_left(config, remarks)
    if config.preference.kind == "plackett_luce" and any(r.ranking.margin for r in rendered_train):
        remarks.append(
            'the margins in the data are of pairs: preference.kind = "plackett_luce" does not use them'
        )
    return Comparisons(rendered_train, rendered_held, tuple(remarks))


def _rendered(
    rankings: Iterable[Ranking], data: ComparisonSection, tokenizer: Any
) -> tuple[list[RenderedRanking], list[Dropped], int]:
    """Rankings with ids, those that teach nothing by reason, and how many responses were cut."""
    conversation, kept, left_out, num_cut = conversation_format(data), [], list[tuple[str, str]](), 0
    for ranking in rankings:
        prompt = conversation.encode_prompts([Prompt(ranking.ranking_id, ranking.prompt)], tokenizer)[0]
        responses = [conversation.encode_response(text, tokenizer) for text in ranking.responses]
        if any(ids[-1] in ids[:-1] for ids in responses):
            left_out.append((HOLDS_ITS_END, ranking.ranking_id))
            continue
        room = data.max_length - len(prompt.token_ids)
        too_long = [len(ids) > room for ids in responses]
        if any(too_long) and (data.too_long == "drop" or room < 1):
            left_out.append((TOO_LONG, ranking.ranking_id))
            continue
        cut = [ids[:room] for ids in responses]
        if len(set(cut)) == 1:
            left_out.append((EQUAL_AFTER_CUTTING, ranking.ranking_id))
            continue
        num_cut += sum(too_long)
        kept.append(RenderedRanking(ranking, _rollouts(prompt, ranking, cut, too_long)))
    return kept, count_dropped(left_out), num_cut


def _rollouts(
    prompt: Prompt, ranking: Ranking, ids: Sequence[tuple[int, ...]], is_cut: Sequence[bool]
) -> tuple[Rollout, ...]:
    """Somebody's responses as rollouts: no policy sampled them, so they have no logprobs."""
    return tuple(
        Rollout(prompt, index, own, (), "length" if cut else "eos", text, policy_version=0)
        for index, (own, cut, text) in enumerate(zip(ids, is_cut, ranking.responses, strict=True))
    )


def _weighted(rankings: Sequence[Ranking], weights: dict[str, float], *, known: set[str]) -> list[Ranking]:
    """Times their annotators' weights; those that then count nothing are left out, as was asked."""
    for name in weights:
        if name not in known:
            raise ConfigError(
                f"data.annotator_weights names {name!r}, who ranked nothing{nearest(name, known)}"
            )
    weighted = [replace(r, weight=r.weight * weights.get(r.annotator, 1.0)) for r in rankings]
    return [ranking for ranking in weighted if ranking.weight > 0]


def _each_prompt_once(rankings: Sequence[Ranking]) -> list[Ranking]:
    """The weights of the rankings of one prompt sum to 1, in the proportions that they had."""
    totals: dict[str, float] = {}
    keys = [prompt_key(ranking) for ranking in rankings]
    for key, ranking in zip(keys, rankings, strict=True):
        totals[key] = totals.get(key, 0.0) + ranking.weight
    return [
        replace(ranking, weight=ranking.weight / totals[key])
        for key, ranking in zip(keys, rankings, strict=True)
    ]


def _shared_prompts(train: Sequence[Ranking], held_out: Sequence[Ranking]) -> list[str]:
    shared = {prompt_key(ranking) for ranking in train} & {prompt_key(ranking) for ranking in held_out}
    if not shared:
        return []
    return [
        f"also trained on: {count_text(len(shared), 'held-out prompt')}, so the held-out numbers flatter; remove them "
        "from one of the files"
    ]


def _without_ties(rankings: Sequence[Ranking]) -> tuple[list[Ranking], list[Dropped]]:
    """Those that prefer something to something, and a count of the others."""
    tied = [ranking for ranking in rankings if len(set(ranking.ranks)) == 1]
    kept = [ranking for ranking in rankings if len(set(ranking.ranks)) > 1]
    return kept, count_dropped((ALL_TIED, ranking.ranking_id) for ranking in tied)


def _nothing_left(config: RewardModelConfig, remarks: Sequence[str]) -> DataError:
    reasons = "; ".join(remarks) or "all of them are held out"
    return DataError(
        f"{config.data.path} has no comparison left to train on ({reasons}). Add comparisons, lower "
        "data.held_out_share, or raise data.max_length."
    )


def _check_sizes_of_ties(train: Sequence[Ranking]) -> None:
    for ranking in train:
        largest = max(ranking.ranks.count(rank) for rank in set(ranking.ranks))
        if largest > MAX_TIED:
            raise ConfigError(
                f"in the ranking {ranking.ranking_id} {largest} responses are tied, and preference.kind = "
                f'"plackett_luce" takes {MAX_TIED} at most: use "pairs"'
            )
