"""Comparisons from JSONL and Parquet files: people's rankings, TRL's pairs and hh-rlhf's conversations.

    {"prompt": "What is 3 + 4?", "responses": ["8", "7", "9"], "ranks": [1, 0, 1], "annotator": "anna"}
    {"prompt": "What is 3 + 4?", "chosen": "7", "rejected": "8"}
    {"chosen": [{"role": "user", ...}, {"role": "assistant", ...}], "rejected": [...]}
    {"chosen": "\\n\\nHuman: What is 3 + 4?\\n\\nAssistant: 7", "rejected": "\\n\\nHuman: ..."}

What `posttrain store export` adds is understood: lines of people who skipped the responses or could not rank them,
and which judgement settles what others differ about.
Each record becomes a `Ranking`. A malformed one is an error; one that teaches nothing is left out and counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from posttrain.data.conversation_pairs import is_transcript, messages_pair, transcript_pair
from posttrain.data.demonstrations import Dropped, as_messages
from posttrain.data.finish_reasons import read_finish_reasons
from posttrain.data.held_out import is_in_share
from posttrain.data.messages import read_prompt, read_text
from posttrain.data.record_files import BadRecord, Record, column_of, kind_of, read_records
from posttrain.types import Ranking

_EXAMPLE: Final = '{"prompt": "What is 3 + 4?", "responses": ["8", "7"], "ranks": [1, 0]}'

EQUAL_TEXTS: Final = "all responses have the same text"
ONE_RESPONSE: Final = "there is one response, and nothing to compare it with"
NO_WEIGHT: Final = "the weight is 0"
CUT: Final = "the response was cut by length, so its end says nothing of it"
ALL_BUT_ONE_CUT: Final = "fewer than two responses are complete"
SKIPPED: Final = "the annotator skipped it"
CANNOT_RANK: Final = "the annotator said that the responses cannot be ranked"
SETTLED: Final = "a reviewer settled what people differed about, and that judgement counts alone"
NO_TEXT: Final = "a response or the prompt is no text: it holds half of a surrogate pair"
_REASONS_OF_KINDS: Final = {"skip": SKIPPED, "cannot_rank": CANNOT_RANK}


class _Read(NamedTuple):
    """What became of a record: its ranking, and (reason, id) of everything that was left out of it.

    `item` names what was ranked where a store's export says it; `settles` that this judgement of it counts alone.
    """

    ranking: Ranking | None
    left_out: list[tuple[str, str]]
    item: str = ""
    settles: bool = False


class LoadedRankings(NamedTuple):
    """Rankings in the file's order, and what was left out because it teaches nothing."""

    rankings: list[Ranking]
    dropped: list[Dropped]


def load_rankings(path: str | Path) -> LoadedRankings:
    """The file's comparisons as rankings; ids are the column `id`, else "<file stem>/<row>" counted from 1.

    Ranks come out as 0, 1, 2, ... without gaps. A text that stands in a ranking twice becomes one response at the
    mean of its ranks: equal texts earn equal scores, whatever was said of them.
    Responses that were cut by length (`finish_reasons`) are left out and counted: read as if they had ended there,
    they would teach that stopping in the middle is good or bad.
    Dropped and counted: pairs of equal texts, rankings of one response, weight 0, conversations that part before
    their last turn, rankings with fewer than two complete responses.
    DataError with file, line and reason of the first five malformed records and how many more there are.
    """
    return _loaded(read_records(path, _comparison, what="comparisons", example=_EXAMPLE))


def rankings_of_records(records: Iterable[Record]) -> LoadedRankings:
    """As `load_rankings`, of the rows that a store exports, each with its `id`.

    Texts that no model can read (half of a surrogate pair) are no mistake of a file here: those rankings are dropped
    and counted.
    """
    return _loaded([_stored_comparison(record, record["id"]) for record in records])


def _loaded(found: Sequence[_Read]) -> LoadedRankings:
    settled = {read.item for read in found if read.settles and read.item}
    kept: list[Ranking] = []
    left_out: list[tuple[str, str]] = []
    for read in found:
        if read.item in settled and not read.settles and read.ranking is not None:
            left_out.append((SETTLED, read.ranking.ranking_id))
            continue
        left_out += read.left_out
        if read.ranking is not None:
            kept.append(read.ranking)
    return LoadedRankings(kept, count_dropped(left_out))


def _stored_comparison(record: Record, record_id: str) -> _Read:
    if not is_text([record["prompt"], *record["responses"]]):
        return _Read(None, [(NO_TEXT, record_id)])
    return _comparison(record, record_id)


def is_text(content: Any) -> bool:
    """Whether all that is written in a JSON value is text: no half of a surrogate pair, which no model can read."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def count_dropped(left_out: Iterable[tuple[str, str]]) -> list[Dropped]:
    """From (reason, id) of each record to one entry a reason, in the order of their first records."""
    by_reason: dict[str, list[str]] = {}
    for reason, record_id in left_out:
        by_reason.setdefault(reason, []).append(record_id)
    return [Dropped(reason, len(ids), ids[0]) for reason, ids in by_reason.items()]


def prompt_key(ranking: Ranking) -> str:
    """Equal for rankings of one prompt, whoever made them: text is what a user says, alone or as a message."""
    return json.dumps(as_messages(ranking.prompt, "user"), sort_keys=True, ensure_ascii=False)


def split_by_prompt(
    rankings: Sequence[Ranking], held_out_share: float
) -> tuple[list[Ranking], list[Ranking]]:
    """(to train on, held out): all rankings of one prompt are on the same side."""
    sides: tuple[list[Ranking], list[Ranking]] = ([], [])
    for ranking in rankings:
        sides[is_in_share(prompt_key(ranking), held_out_share)].append(ranking)
    return sides


def _comparison(record: Record, record_id: str) -> _Read:
    # Parquet, and JSONL with several kinds in one file, write null for the columns of the other kinds.
    given = {name: value for name, value in record.items() if value is not None}
    if "ranks" not in given and (reason := _REASONS_OF_KINDS.get(str(given.get("kind")))):
        settles = given.get("settles") is True and reason != SKIPPED  # who passes on decides nothing
        return _Read(None, [(reason, record_id)], _item_of(given), settles)
    if "responses" in given or "ranks" in given:
        prompt, responses, ranks = _ranked(given)
        reasons = read_finish_reasons(given, len(responses))
    elif "chosen" in given or "rejected" in given:
        pair = read_pair(given)
        if isinstance(pair, str):
            return _Read(None, [(pair, record_id)])
        prompt, *texts = pair
        responses, ranks, reasons = texts, list(pair_ranks(given)), ()
    else:
        raise BadRecord(
            "no column 'responses' with 'ranks', nor 'chosen' with 'rejected'; its columns: "
            f"{', '.join(given) or 'none'}"
        )
    ranking = Ranking(
        ranking_id=record_id,
        prompt=prompt,
        responses=tuple(responses),
        ranks=tuple(ranks),
        annotator=_annotator(given),
        weight=_number(given, "weight", 1.0),
        margin=_number(given, "margin", 0.0),
        finish_reasons=reasons,
    )
    item, settles = _item_of(given), given.get("settles") is True
    complete = _complete_only(ranking)
    left_out = [(CUT, record_id)] * (len(ranking.responses) - len(complete.responses))
    reason = _reason_to_drop(complete, some_were_cut=bool(left_out))
    if reason is not None:
        return _Read(None, [*left_out, (reason, record_id)], item, settles)
    return _Read(_merged(complete), left_out, item, settles)


def _item_of(given: Record) -> str:
    item = given.get("item", "")
    return item if isinstance(item, str) else ""


def _complete_only(ranking: Ranking) -> Ranking:
    """Without the responses that were cut by length; those that are left have nothing more to say of their ends."""
    reasons = ranking.finish_reasons or ("eos",) * len(ranking.responses)
    kept = [index for index, reason in enumerate(reasons) if reason != "length"]
    return replace(
        ranking,
        responses=tuple(ranking.responses[index] for index in kept),
        ranks=tuple(ranking.ranks[index] for index in kept),
        finish_reasons=(),
    )


def _reason_to_drop(ranking: Ranking, *, some_were_cut: bool) -> str | None:
    if len(ranking.responses) < 2:
        return ALL_BUT_ONE_CUT if some_were_cut else ONE_RESPONSE
    if len(set(ranking.responses)) == 1:
        return EQUAL_TEXTS
    return NO_WEIGHT if ranking.weight == 0 else None


def _merged(ranking: Ranking) -> Ranking:
    """Each text once, at the mean of its ranks; ranks without gaps."""
    ranks_of: dict[str, list[int]] = {}
    for text, rank in zip(ranking.responses, ranking.ranks, strict=True):
        ranks_of.setdefault(text, []).append(rank)
    means = [sum(ranks) / len(ranks) for ranks in ranks_of.values()]
    places = {mean: place for place, mean in enumerate(sorted(set(means)))}
    return replace(ranking, responses=tuple(ranks_of), ranks=tuple(places[mean] for mean in means))


def _ranked(record: Record) -> tuple[Any, list[str], list[int]]:
    responses, ranks = column_of(record, "responses"), column_of(record, "ranks")
    for name, value in (("responses", responses), ("ranks", ranks)):
        if not isinstance(value, list) or not value:
            said = "an empty list" if value == [] else kind_of(value)
            raise BadRecord(
                f"the column {name!r} is {said}; it must be a list with an entry for each response"
            )
    if len(ranks) != len(responses):
        raise BadRecord(f"{len(ranks)} ranks for {len(responses)} responses; give one rank for each")
    for number, rank in enumerate(ranks, start=1):
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 0:
            raise BadRecord(
                f"rank {number} is {rank!r}; ranks are whole numbers, 0 the best, equal for a tie"
            )
    texts = [read_response(text, f"response {n}") for n, text in enumerate(responses, start=1)]
    return read_prompt(column_of(record, "prompt"), "prompt"), texts, ranks


def pair_ranks(record: Record) -> tuple[int, int]:
    """Ranks of the chosen and the rejected response: (0, 1), or by `chosen_probability`, where 0.5 is a tie."""
    probability = _number(record, "chosen_probability", 1.0)
    if probability > 1:
        raise BadRecord(f"the column 'chosen_probability' is {probability:g}; it lies between 0 and 1")
    if probability == 0.5:
        return (0, 0)
    return (0, 1) if probability > 0.5 else (1, 0)


def read_pair(record: Record) -> tuple[Any, str, str] | str:
    """Prompt, chosen and rejected text; or the reason why the pair teaches nothing. BadRecord for malformed ones."""
    chosen, rejected = column_of(record, "chosen"), column_of(record, "rejected")
    if isinstance(chosen, list) and isinstance(rejected, list):
        prompt = record.get("prompt")
        return messages_pair(None if prompt is None else read_prompt(prompt, "prompt"), chosen, rejected)
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise BadRecord(
            f"the column 'chosen' is {kind_of(chosen)} and 'rejected' is {kind_of(rejected)}; both must be text, "
            "or both lists of messages"
        )
    if "prompt" not in record and is_transcript(chosen) and is_transcript(rejected):
        return transcript_pair(read_text(chosen, "chosen"), read_text(rejected, "rejected"))
    prompt = read_prompt(column_of(record, "prompt"), "prompt")
    return (
        prompt,
        read_response(chosen, "the column 'chosen'"),
        read_response(rejected, "the column 'rejected'"),
    )


def read_response(value: Any, name: str) -> str:
    """The response's text, which may be empty: a model can end its turn at once. BadRecord for no text."""
    if not isinstance(value, str):
        raise BadRecord(f"{name} is {kind_of(value)}; it must be text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecord(
            f"{name} holds half of a surrogate pair at character {error.start + 1}, which is no text"
        ) from None
    return value


def _annotator(record: Record) -> str:
    annotator = record.get("annotator", "")
    if not isinstance(annotator, str):
        raise BadRecord(f"the column 'annotator' is {kind_of(annotator)}; it must be text")
    return annotator


def _number(record: Mapping[str, Any], column: str, default: float) -> float:
    value = record.get(column, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise BadRecord(f"the column {column!r} is {value!r}; it must be a number that is not negative")
    return float(value)
