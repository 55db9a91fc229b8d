"""What goes into the store and comes out of it: frozen records, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from posttrain.types import FinishReason, Message

JudgementKind = Literal["ranking", "cannot_rank", "skip"]
"""An order of the responses; a person's word that they cannot be ordered; or that this person passes on."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """A prompt with 2 to 8 responses, on its way into the store.

    `external_id` names it outside: adding the same one again with the same content changes nothing. `models` says
    who wrote each response and `finish_reasons` why each ended; both are empty where that is not known.
    `gold_ranks` are the known answer of an item that checks annotators. `overlap` is how many people are to judge
    it; None means as many as the store's setting says.
    """

    external_id: str
    prompt: str | tuple[Message, ...]
    responses: tuple[str, ...]
    finish_reasons: tuple[FinishReason, ...] = ()
    models: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    gold_ranks: tuple[int, ...] | None = None
    overlap: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A stored item. `priority`: higher is handed out earlier; `queue` is the targeted queue it was put in.

    `num_judges` counts the people whose newest judgement of it is no skip, `overlap` how many are wanted:
    `own_overlap`, or as many as the store's setting says where that is None. `is_open` says that more are wanted than
    there are; items with `gold_ranks` never close. `public_id` is the random number by which annotators know it:
    `item_id`, which counts in the order of import, would tell them which items are checks.
    """

    item_id: int
    public_id: int
    external_id: str
    prompt: str | tuple[Message, ...]
    responses: tuple[str, ...]
    finish_reasons: tuple[FinishReason, ...]
    models: tuple[str, ...]
    columns: Mapping[str, Any]
    gold_ranks: tuple[int, ...] | None
    priority: float
    queue: str
    overlap: int
    own_overlap: int | None
    num_judges: int
    is_open: bool

    @property
    def num_responses(self) -> int:
        """How many there are to rank."""
        return len(self.responses)


@dataclass(frozen=True, slots=True)
class Submission:
    """A judgement as a client sends it.

    `submission_id` is made by the client, once for each judgement: sending the same one again counts once.
    `ranks[i]` is the rank of response i of the item (not of card i): 0 best, equal for a tie, no gaps; None unless
    the kind is "ranking". `unacceptable`, `grades` (1 to 5) and `tags` have an entry for each response, or are empty.
    `order_shown[place]` is the response that stood at that place; imports that do not know it leave it empty.
    `seconds` is the time worked at it. `replaces` is the judgement of this person that this one corrects.
    `submitted_at` is None for now; imports say when it was.
    `settles` says that a reviewer made it with everyone's judgements in view: it decides what holds for the item, and
    what is said of agreement leaves it out. The store says so itself of who was shown what others said (`seen_others`).
    """

    submission_id: str
    item_id: int
    annotator_id: int
    kind: JudgementKind
    order_shown: tuple[int, ...]
    ranks: tuple[int, ...] | None = None
    unacceptable: tuple[bool, ...] = ()
    grades: tuple[int | None, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()
    note: str = ""
    is_flagged: bool = False
    guideline_version: int | None = None
    seconds: float = 0.0
    replaces: int | None = None
    submitted_at: float | None = None
    settles: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A stored judgement; the words are those of `Submission`, with an entry for each response everywhere."""

    judgement_id: int
    submission_id: str
    item_id: int
    annotator_id: int
    kind: JudgementKind
    ranks: tuple[int, ...] | None
    unacceptable: tuple[bool, ...]
    grades: tuple[int | None, ...]
    tags: tuple[tuple[str, ...], ...]
    note: str
    is_flagged: bool
    order_shown: tuple[int, ...]
    guideline_version: int | None
    seconds: float
    submitted_at: float
    replaces: int | None
    settles: bool = False


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission. `is_new` is False where it had been stored before."""

    judgement_id: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody has entered and not yet submitted; `content` belongs to the page."""

    content: Any
    revision: int
    updated_at: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """An item handed to one person: how its cards stand, until when it is theirs, and what they have so far.

    `order_shown[place]` is the response at that place, the same whenever this person sees this item. `earlier` is
    their own current judgement of it. `lease_expires_at` is None for an item they hold no lease of (an earlier one).
    `own_number` counts the items that the queue gave them, None for one that it did not.
    """

    item: Item
    order_shown: tuple[int, ...]
    lease_expires_at: float | None
    draft: Draft | None
    earlier: Judgement | None
    own_number: int | None
