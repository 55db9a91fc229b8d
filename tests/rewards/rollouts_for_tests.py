from __future__ import annotations

from typing import Any

from posttrain.types import FinishReason, Message, Prompt, Rollout


def rollout(
    text: str, index: int = 0, *, messages: bool = False, finish: FinishReason = "eos", **columns: Any
) -> Rollout:
    content: str | tuple[Message, ...] = f"question {index}"
    if messages:
        content = (Message(role="user", content=f"question {index}"),)
    ids = tuple(range(len(text.split())))
    return Rollout(
        Prompt(f"p/{index}", content, columns),
        index,
        ids,
        tuple(-1.0 for _ in ids),
        finish,
        text,
        policy_version=0,
    )


def rollouts(*texts: str, **columns: Any) -> list[Rollout]:
    return [rollout(text, index, **columns) for index, text in enumerate(texts)]
