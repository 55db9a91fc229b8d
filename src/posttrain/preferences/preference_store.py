"""Preferences of people from Python: make a store, fill it, wait for people, read what they said.

with PreferenceStore.create("store.db") as store:
    store.add("What is 3 + 4?", ["7", "8"])
    # posttrain rank store.db
    store.wait_for(num_judgements=1, timeout=3600)
    store.export("pairs.jsonl", format="pairs")
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from posttrain.errors import DataError
from posttrain.preferences.exporting.export_file import ExportFormat, ExportReport, export_store
from posttrain.preferences.exporting.pair_rows import TieRows
from posttrain.preferences.exporting.training_rankings import training_rankings
from posttrain.preferences.importing.import_file import ImportReport, ImportSettings, import_files
from posttrain.preferences.importing.imported import ImportedRecord, LeftOut
from posttrain.preferences.importing.rankable import rankable
from posttrain.preferences.importing.sampled_items import AddedSamples, add_samples
from posttrain.preferences.sampled_prompt import SampledPrompt
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.judgements import count_judgements
from posttrain.preferences.store.progress import StoreProgress, store_progress
from posttrain.preferences.store.records import NewItem
from posttrain.preferences.store_location import is_store
from posttrain.types import FinishReason, Message, Ranking

if TYPE_CHECKING:
    from posttrain.preferences.quality.report import QualityReport


class PreferenceStore:
    """What people are to rank and what they have said, in a file or on a PostgreSQL server; a context manager.

    `where` is a path or a URL postgresql://user:password@host/database. `posttrain rank WHERE` serves the page; both
    may be open at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def create(cls, where: str | Path) -> Self:
        """A new store. DataError where there is one with items already: `open` goes on with it."""
        if "://" not in str(where) and is_store(where):
            raise DataError(f"there is a store at {where} already. PreferenceStore.open goes on with it.")
        made = cls(open_store(where, must_exist=False))
        if made.progress().num_items:
            made.close()
            raise DataError(
                "there is a store in that database already. PreferenceStore.open goes on with it."
            )
        return made

    @classmethod
    def open(cls, where: str | Path) -> Self:
        """The store that is there. DataError where there is none."""
        return cls(open_store(where))

    def add(
        self,
        prompt: str | Sequence[Mapping[str, str]],
        responses: Sequence[str],
        *,
        id: str | None = None,
        models: Sequence[str] = (),
        finish_reasons: Sequence[FinishReason] = (),
        columns: Mapping[str, Any] | None = None,
        gold_ranks: Sequence[int] | None = None,
        overlap: int | None = None,
    ) -> bool:
        """Whether the prompt is new: adding the same again changes nothing. Responses: 2 to 8, each text once.

        `id` names it outside, by default by its content. With `gold_ranks`, the known answer (0 best), it checks
        annotators. DataError for what cannot be ranked, and for an id that stands for other content.
        """
        content = prompt if isinstance(prompt, str) else tuple(_message(message) for message in prompt)
        item = NewItem(
            external_id=id or _name_of(content, responses),
            prompt=content,
            responses=tuple(responses),
            finish_reasons=tuple(finish_reasons),
            models=tuple(models),
            columns=dict(columns or {}),
            gold_ranks=None if gold_ranks is None else tuple(gold_ranks),
            overlap=overlap,
        )
        try:
            found = rankable(ImportedRecord(item), "keep", "")
        except ValueError as error:
            raise DataError(str(error)) from error
        if isinstance(found, LeftOut):
            raise DataError(f"the item {item.external_id!r} cannot be ranked: {found.reason}")
        return add_items(self._store, [found.item], source="python").num_added == 1

    def add_samples(self, samples: Iterable[SampledPrompt], *, prefix: str = "") -> AddedSamples:
        """Add what `posttrain sample` made (`read_samples`), `prefix` before each id."""
        return add_samples(self._store, samples, prefix=prefix, source="python")

    def import_files(self, *paths: str | Path, settings: ImportSettings | None = None) -> ImportReport:
        """Add what files of other tools and our own hold, judgements included, as `posttrain store import` does."""
        return import_files(self._store, [Path(path) for path in paths], settings or ImportSettings())

    def progress(self) -> StoreProgress:
        """How many prompts there are, and how many judgements they have and want."""
        return store_progress(self._store)

    def num_judgements(self) -> int:
        """How many rankings, and words that something cannot be ranked, people stand by now; no skips."""
        return count_judgements(self._store)

    def wait_for(
        self,
        num_judgements: int,
        *,
        timeout: float | None = None,
        poll_seconds: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> int:
        """The number of judgements, once there are so many; TimeoutError after `timeout` seconds without."""
        started_at = time.monotonic()
        while (found := self.num_judgements()) < num_judgements:
            waited = time.monotonic() - started_at
            if timeout is not None and waited >= timeout:
                raise TimeoutError(
                    f"{found} of {num_judgements} judgements after {timeout:g} s. The page is opened by: "
                    f"posttrain rank {self._store.where}"
                )
            sleep(poll_seconds if timeout is None else min(poll_seconds, max(timeout - waited, 0.0)))
        return found

    def rankings(self) -> list[Ranking]:
        """The rankings in force, as reward models learn from them; `training_rankings` says what is left out."""
        return training_rankings(self._store).rankings

    def export(
        self,
        path: str | Path,
        format: ExportFormat = "rankings",
        *,
        ties: TieRows = "drop",
        cut: Literal["leave_out", "keep"] = "leave_out",
        as_messages: bool = False,
        good_from: int = 4,
    ) -> ExportReport:
        """Write a new file, as `posttrain store export` does; `export_store` says what the arguments do."""
        return export_store(
            self._store,
            Path(path),
            format,
            ties=ties,
            cut=cut,
            as_messages=as_messages,
            good_from=good_from,
        )

    def quality(self) -> QualityReport:
        """How far people agree, who stands out, what is to be settled, how strong the checkpoints are: as of now."""
        from posttrain.preferences.quality.report import quality_report

        return quality_report(self._store)

    def close(self) -> None:
        """Give the database back."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _message(message: Mapping[str, str]) -> Message:
    return Message(role=message["role"], content=message["content"])


def _name_of(prompt: str | tuple[Message, ...], responses: Sequence[str]) -> str:
    content = json.dumps([prompt, list(responses)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
