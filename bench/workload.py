"""What every measured program is given: the model as a folder, and prompts as messages and as token ids.

    .venv/bin/python bench/workload.py      # writes .bench/workload/{model,prompts.json}

`open` prompts are answered at length, so nearly all responses reach a limit of 64 tokens; `sums` are answered in a
few tokens, as in `./run demo`. Peers get the same ids, rendered by the same template.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, TypedDict

FOLDER: Final = Path(__file__).parents[1] / ".bench" / "workload"

_SUBJECTS: Final = (
    "how a bicycle stays upright", "why the sky is blue", "what a library is for", "how bread rises",
    "the life of a honey bee", "how to plan a week of meals", "why leaves change colour in autumn",
    "what makes a good teacher", "how ships float", "the history of the postal service", "how to repair a zip",
    "why we have leap years", "how an echo comes about", "what a budget is good for", "how glass is made",
    "why cats purr", "how to learn a language", "what a lighthouse does", "how mountains form",
    "why sleep matters", "how a camera works", "what a haiku is", "how rivers find their way",
    "why stories have heroes", "how to grow tomatoes", "what an orchestra is made of", "how clocks keep time",
    "why metals rust", "how a letter reaches another country", "what a good question is", "how kites fly",
    "why people collect things",
)  # fmt: skip


class Workload(TypedDict):
    """The model's folder and, for each kind of prompt, messages and token ids."""

    model: str
    prompts: dict[str, list[list[dict[str, str]]]]
    token_ids: dict[str, list[list[int]]]


def prompts() -> dict[str, list[list[dict[str, str]]]]:
    """32 prompts of each kind."""
    sums = [(3 * i % 10, (7 * i + i // 10) % 10) for i in range(32)]
    asked = {
        "open": [f"Explain to a child {subject}, in several sentences." for subject in _SUBJECTS],
        "sums": [f"What is {a} + {b}? Reply with only the number." for a, b in sums],
    }
    return {kind: [[{"role": "user", "content": text}] for text in texts] for kind, texts in asked.items()}


def workload() -> Workload:
    """What `prepare` wrote."""
    found: Workload = json.loads((FOLDER / "prompts.json").read_text())
    return found


def prepare() -> Path:
    """Writes the model in bfloat16, as it was published, and the prompts; again only where they are missing."""
    if (FOLDER / "prompts.json").exists():
        return FOLDER
    from posttrain.models import load_language_model

    model = load_language_model("smollm2", dtype="bfloat16", device="cpu")
    model.save(FOLDER / "model")
    asked = prompts()
    template = model.tokenizer.apply_chat_template
    token_ids = {
        kind: [
            list(template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])
            for messages in texts
        ]
        for kind, texts in asked.items()
    }
    written = {"model": str(FOLDER / "model"), "prompts": asked, "token_ids": token_ids}
    (FOLDER / "prompts.json").write_text(json.dumps(written))
    return FOLDER


if __name__ == "__main__":
    print(prepare())
