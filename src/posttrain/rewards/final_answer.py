"""Which part of a completion is its answer: exactly one, the final one, or none.

Explicit answers are `\\boxed{...}`, `<answer>...</answer>`, `#### 7` and "the answer is 7"; the last of them
counts. Without any, the last line counts where it is an answer on its own. What stands in `<think>` never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from posttrain.rewards.numbers import plain, read_quantity, same_quantity

MAX_SEGMENT_CHARS = 300
MAX_MARKS = 50
MAX_DIFFERENT_ANSWERS = 3
"""People and models correct themselves once or twice; more different answers are a list, not an answer."""

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
# What follows a mark is read ahead and bounded, so that a line of many marks costs linear time.
_HASHES = re.compile(r"####[ \t]*(?=[-+$€£¥₹\d.−–])(?=([^\n]{0,301}))")
_PHRASE = re.compile(r"\banswer\b[^\n.:=?]{0,60}?(?:\bis\b|:|=)[:\s*]{0,20}(?=([^\n]{0,301}))", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_BARE = re.compile(r"[-+−–$€£\s]*[0-9][0-9,./]*\s*%?")
_SECOND_THOUGHTS = re.compile(r"\b(?:wait|actually|correction|sorry|instead|hmm|oops|no,)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The text of the answer and how it was marked: "box", "tag", "hashes", "phrase" or "last_line"."""

    text: str
    marked_by: str


def final_answer(completion: str) -> FinalAnswer | None:
    """The completion's one final answer, or None where there is none or it cannot be told which.

    Several boxes that differ give None, and so do more than three different answers of any kind.
    """
    text = after_thinking(completion)
    if text is None:
        return None
    boxes, tags = _boxes(text), _tags(text)
    if boxes is None or tags is None or _num_different(answer for _, _, answer in boxes) > 1:
        return None
    marked = [(start, end, FinalAnswer(answer, "tag")) for start, end, answer in tags]
    for pattern, kind in ((_HASHES, "hashes"), (_PHRASE, "phrase")):
        for match in pattern.finditer(text):
            segment = _sentence(match[1])
            marked.append((match.start(), match.start(1) + len(segment), FinalAnswer(segment, kind)))
            if len(marked) > MAX_MARKS:
                return None
    # "The answer is \boxed{7}" is one answer: a box inside a phrase or tag is what counts.
    marked = [item for item in marked if not any(item[0] < start < item[1] for start, _, _ in boxes)]
    marked += [(start, end, FinalAnswer(answer, "box")) for start, end, answer in boxes]
    if not marked:
        return _last_line(text)
    if _num_different(answer.text for _, _, answer in marked) > MAX_DIFFERENT_ANSWERS:
        return None
    _, end, answer = max(marked, key=lambda item: item[0])
    tail = text[end:]
    if _SECOND_THOUGHTS.search(tail) and re.search("[0-9]", tail):
        return None
    if not answer.text.strip() or len(answer.text) > MAX_SEGMENT_CHARS:
        return None
    return answer


def after_thinking(completion: str) -> str | None:
    """What follows the last `</think>`; the whole text where nothing was thought; None while thinking goes on."""
    closed = completion.rfind("</think>")
    text = completion[closed + len("</think>") :] if closed >= 0 else completion
    return None if "<think>" in text else text


def _boxes(text: str) -> list[tuple[int, int, str]] | None:
    """(start, end, content) of every box; None when there are too many or one is never closed."""
    found: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        if len(found) >= MAX_MARKS:
            return None
        depth = 1
        for position in range(match.end(), min(len(text), match.end() + MAX_SEGMENT_CHARS + 1)):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                found.append((match.start(), position + 1, text[match.end() : position]))
                break
        else:
            return None
    return found


def _tags(text: str) -> list[tuple[int, int, str]] | None:
    """(start, end, content) of every `<answer>` pair; None when there are too many."""
    found: list[tuple[int, int, str]] = []
    end = 0
    while (start := text.find("<answer>", end)) >= 0 and (close := text.find("</answer>", start)) >= 0:
        end = close + len("</answer>")
        found.append((start, end, text[start + len("<answer>") : close]))
        if len(found) > MAX_MARKS:
            return None
    return found


def _sentence(text: str) -> str:
    """The text up to the end of its first sentence."""
    end = _SENTENCE_END.search(text)
    return text[: end.start()] if end else text


def _last_line(text: str) -> FinalAnswer | None:
    """The last line, what follows its last `=`, or its last sentence, where nothing else claims to be the answer."""
    lines = text.rstrip().rsplit("\n", 1)
    line = lines[-1].strip()
    if not line or len(line) > MAX_SEGMENT_CHARS:
        return None
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", line) if part.strip()]
    sentence = sentences[-1]
    if sentence.endswith("?") or _num_different(_bare_numbers(text)) > 1:
        return None
    return FinalAnswer(sentence.rsplit("=", 1)[-1] if "=" in sentence else sentence, "last_line")


def _bare_numbers(text: str) -> Iterable[str]:
    """Everything between two stops that is a number and nothing else: a list of them is no answer."""
    for part in re.split(r"[\n;]|[.,!?](?=\s|$)", text):
        if 0 < len(part) <= 60 and _BARE.fullmatch(part.strip()):
            yield part


def _num_different(answers: Iterable[str]) -> int:
    """How many different answers these are, up to one more than matters."""
    seen: list[str] = []
    for answer in answers:
        if not any(_same(answer, other) for other in seen):
            seen.append(answer)
        if len(seen) > MAX_DIFFERENT_ANSWERS:
            break
    return len(seen)


def _same(left: str, right: str) -> bool:
    if left.strip() == right.strip():
        return True
    if max(len(left), len(right)) > MAX_SEGMENT_CHARS:
        return False
    one, other = read_quantity(left, words=True), read_quantity(right, words=True)
    if one is not None and other is not None:
        return same_quantity(one, other)
    return plain(left).casefold() == plain(right).casefold()
