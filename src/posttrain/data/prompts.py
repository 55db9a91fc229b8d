"""Prompts from JSONL and Parquet files, the whole file checked before anything else is loaded.

The column `prompt` is text or a list of messages; `id` names the prompt; all further columns go to the reward.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from posttrain.data.messages import read_prompt
from posttrain.data.record_files import Record, column_of, read_records
from posttrain.types import Prompt

_EXAMPLE: Final = '{"prompt": "What is 3 + 4?", "answer": "7"}'


def load_prompts(path: str | Path, *, prompt_column: str = "prompt") -> list[Prompt]:
    """The file's prompts, in order; ids are the column `id`, else "<file stem>/<row>" counted from 1.

    DataError with the file, the line and the reason for the first five bad lines and how many more there are; also
    for a file that is missing, empty, or neither JSONL nor Parquet.
    """
    return read_records(path, partial(_prompt, prompt_column), what="prompts", example=_EXAMPLE)


def _prompt(column: str, record: Record, prompt_id: str) -> Prompt:
    content = read_prompt(column_of(record, column), column)
    columns = {name: value for name, value in record.items() if name not in (column, "id")}
    return Prompt(prompt_id=prompt_id, content=content, columns=columns)
