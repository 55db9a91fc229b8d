"""Text on disk and built-in tasks become prompts, and prompts become token ids."""

from posttrain.data.chat_template import check_one_bos, decode_response, encode_prompts, split_by_length
from posttrain.data.prompt_stream import PromptStream
from posttrain.data.prompts import load_prompts
from posttrain.data.tasks import TASKS, Problems, Task, make_task

__all__ = [
    "TASKS",
    "Problems",
    "PromptStream",
    "Task",
    "check_one_bos",
    "decode_response",
    "encode_prompts",
    "load_prompts",
    "make_task",
    "split_by_length",
]
