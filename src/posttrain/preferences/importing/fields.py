"""Which field of a foreign record is the prompt, and which are the responses: by option, else by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from posttrain.data.record_files import BadRecord
from posttrain.preferences.importing.imported import ReadingOptions

_PROMPTS: Final = ("prompt", "instruction", "question", "input", "query", "context", "chat", "text")
_NUMBERED: Final = re.compile(r"(.*?)(?:[\W_]*(?=\d)|[\W_]+)(\d+|[a-hA-H])")
_SAY: Final = "say which they are with prompt_field and response_fields"


def prompt_field(fields: Mapping[str, Any], options: ReadingOptions, responses: Iterable[str] = ()) -> str:
    """The name of the prompt's field: as told, a usual name, or the only one that is no response."""
    if options.prompt_field is not None:
        if options.prompt_field not in fields:
            raise BadRecord(f"no field {options.prompt_field!r}; its fields: {', '.join(fields) or 'none'}")
        return options.prompt_field
    rest = [name for name in fields if name not in set(responses)]
    for name in _PROMPTS:
        if name in rest:
            return name
    if len(rest) == 1:
        return rest[0]
    raise BadRecord(f"it is not clear which field is the prompt ({', '.join(fields) or 'none'}); {_SAY}")


def response_fields(fields: Mapping[str, Any], options: ReadingOptions) -> list[str]:
    """The names of the responses' fields, in order: as told, else the texts that are numbered alike.

    So `answer1`, `answer2` or `reply-a`, `reply-b`, in the order of their numbers; fields that are null are left out.
    """
    if options.response_fields is not None:
        for name in options.response_fields:
            if name not in fields:
                raise BadRecord(f"no field {name!r}; its fields: {', '.join(fields) or 'none'}")
        return [name for name in options.response_fields if fields[name] is not None]
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, value in fields.items():
        match = _NUMBERED.fullmatch(name)
        if match and isinstance(value, str) and name != options.prompt_field:
            groups.setdefault(match[1].lower(), []).append((match[2].lower(), name))
    largest = max((len(group) for group in groups.values()), default=0)
    candidates = [group for group in groups.values() if len(group) == largest]
    if largest < 2 or len(candidates) > 1:
        raise BadRecord(
            f"it is not clear which fields are the responses ({', '.join(fields) or 'none'}); {_SAY}"
        )
    return [name for _, name in sorted(candidates[0], key=lambda own: (len(own[0]), own[0]))]


def fields_of_values(values: Sequence[str], fields: Mapping[str, Any], options: ReadingOptions) -> list[str]:
    """The field that each value of a ranking stands for: that of its name, else those of `response_fields` in order.

    BadRecord where they cannot be told.
    """
    if options.response_fields is None:
        plain = {_plain(name): name for name in fields}
        if all(_plain(value) in plain for value in values):
            return [plain[_plain(value)] for value in values]
    names = response_fields(fields, options)
    if all(value in names for value in values):
        return list(values)
    ordered = sorted(values, key=_in_order)
    if len(names) < len(values):
        raise BadRecord(
            f"the ranking is of {', '.join(ordered)}, and there are {len(names)} responses; {_SAY}"
        )
    return [names[ordered.index(value)] for value in values]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _in_order(value: str) -> tuple[str, int, str]:
    match = _NUMBERED.fullmatch(value)
    return (match[1], len(match[2]), match[2]) if match else (value, 0, "")
