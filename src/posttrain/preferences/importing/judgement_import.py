"""Imported judgements into the store: by whom, under which guidelines, and those that were corrected."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from posttrain.preferences.importing.imported import ImportedGuideline, ImportedJudgement, ImportedRecord
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.bulk_submission import submit_first_judgements
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.failures import StaleJudgement
from posttrain.preferences.store.guidelines import Guidelines, known_guidelines, restore_guidelines
from posttrain.preferences.store.judgements import submit
from posttrain.preferences.store.people import add_annotator, list_annotators
from posttrain.preferences.store.records import Submission

HAS_ANOTHER: Final = "a judgement by somebody who has another one of that item in the store, which stays"
OTHER_GUIDELINES: Final = "the guidelines' version of a judgement: the store has guidelines of its own"


@dataclass
class JudgementImport:
    """One import's judgements, batch after batch. `leave_out(reason, name)` hears what is not kept."""

    store: Store
    by: Actor
    leave_out: Callable[[str, str], None]
    num_added: int = 0
    num_known: int = 0
    new_annotators: list[str] = field(default_factory=list)
    _people: dict[str, int] | None = None
    _versions: dict[int, int] = field(default_factory=dict)

    def store_all(self, records: Sequence[ImportedRecord], item_ids: Mapping[str, int]) -> None:
        """The judgements of these records, whose items are in the store under these numbers."""
        plain: list[Submission] = []
        for record in records:
            if record.guidelines:
                self._learn_guidelines(record.guidelines)
            for judgement in record.judgements:
                if judgement.earlier:  # those before it are stored first: who spoke first keeps their place
                    self._store_plain(plain, item_ids)
                    plain = []
                    self._store_chain(record, judgement, item_ids)
                else:
                    plain.append(self._submission(record, judgement, item_ids))
        self._store_plain(plain, item_ids)

    def _store_plain(self, submissions: Sequence[Submission], item_ids: Mapping[str, int]) -> None:
        names = {number: name for name, number in item_ids.items()}
        outcome = submit_first_judgements(self.store, submissions)
        self.num_added += outcome.num_added
        self.num_known += outcome.num_known
        for refused in outcome.has_another:
            self.leave_out(HAS_ANOTHER, names[refused.item_id])

    def _store_chain(
        self, record: ImportedRecord, judgement: ImportedJudgement, item_ids: Mapping[str, int]
    ) -> None:
        """What was corrected, then what it was corrected to, each in the place of the one before."""
        replaces: int | None = None
        for own in (*judgement.earlier, replace(judgement, earlier=())):
            submission = replace(self._submission(record, own, item_ids), replaces=replaces)
            try:
                done = submit(self.store, submission, needs_lease=False)
            except StaleJudgement:
                self.leave_out(HAS_ANOTHER, record.item.external_id)
                return
            replaces = done.judgement_id
            self.num_added += done.is_new
            self.num_known += not done.is_new

    def _submission(
        self, record: ImportedRecord, judgement: ImportedJudgement, item_ids: Mapping[str, int]
    ) -> Submission:
        name = record.item.external_id
        version = judgement.guideline_version
        if version is not None and version not in self._versions:
            self.leave_out(OTHER_GUIDELINES, name)
        return Submission(
            submission_id=judgement.submission_id or _submission_id(name, judgement),
            item_id=item_ids[name],
            annotator_id=self._person(judgement),
            kind=judgement.kind,
            order_shown=judgement.order_shown,
            ranks=judgement.ranks,
            unacceptable=judgement.unacceptable,
            grades=judgement.grades,
            tags=judgement.tags,
            note=judgement.note,
            is_flagged=judgement.is_flagged,
            guideline_version=None if version is None else self._versions.get(version),
            seconds=judgement.seconds,
            submitted_at=judgement.submitted_at,
            settles=judgement.settles,
        )

    def _person(self, judgement: ImportedJudgement) -> int:
        """The number of the person of that name, who is added, without a way to sign in, where there is none."""
        if self._people is None:
            self._people = {
                person.name.casefold(): person.annotator_id for person in list_annotators(self.store)
            }
        key = judgement.annotator.casefold()
        if key not in self._people:
            person = add_annotator(self.store, judgement.annotator, "annotator", by=self.by)
            self._people[key] = person.annotator_id
            self.new_annotators.append(person.name)
        return self._people[key]

    def _learn_guidelines(self, given: Sequence[ImportedGuideline]) -> None:
        """Which version of the store each of these is; a store without guidelines takes them over."""
        known = known_guidelines(self.store)
        if not known:
            known = restore_guidelines(self.store, map(_as_stored, given))
        by_text = {guidelines.text: guidelines.version for guidelines in known}
        same = {(guidelines.version, guidelines.text) for guidelines in known}
        for one in given:  # a text may have been in force twice: then its number says which time
            if one.text in by_text:
                is_same = (one.version, one.text) in same
                self._versions[one.version] = one.version if is_same else by_text[one.text]


def _as_stored(given: ImportedGuideline) -> Guidelines:
    return Guidelines(given.version, given.text, given.created_at, given.author)


def _submission_id(item: str, judgement: ImportedJudgement) -> str:
    """The same for the same judgement of the same person: importing a file again finds it."""
    content = [
        item,
        judgement.annotator,
        judgement.kind,
        judgement.ranks,
        judgement.unacceptable,
        judgement.grades,
        judgement.tags,
        judgement.note,
        judgement.is_flagged,
        judgement.submitted_at,
    ]
    return f"import-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]}"
