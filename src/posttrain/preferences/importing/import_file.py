"""A file into a store: read twice, so that nothing is stored of a file with a malformed record.

The second pass goes in batches, each stored whole. After a crash the same import goes on: what is there already is
known by its name and content (items) or by its submission's id (judgements).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from posttrain.data.demonstrations import Dropped
from posttrain.data.record_files import BadRecord, Record, iterate_records
from posttrain.errors import ConfigError, DataError
from posttrain.preferences.importing.file_rows import open_file_rows
from posttrain.preferences.importing.formats import READERS, Format, format_of
from posttrain.preferences.importing.imported import ImportedRecord, LeftOut, ReadingOptions
from posttrain.preferences.importing.joining import joined
from posttrain.preferences.importing.judgement_import import JudgementImport
from posttrain.preferences.importing.rankable import JudgementUse, rankable
from posttrain.preferences.left_out import LeftOutCounts
from posttrain.preferences.store.audit import Actor, note_alone
from posttrain.preferences.store.chunks import in_chunks
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.items import add_items, item_numbers

_AT_ONCE: Final = 500


@dataclass(frozen=True)
class ImportReport:
    """What became of an import. `left_out` has a reason for everything that was not kept.

    "Known" is what the store had already. `new_annotators` were added by name, without a way to sign in.
    """

    format: Format
    num_records: int
    num_items_added: int
    num_items_known: int
    num_judgements_added: int
    num_judgements_known: int
    new_annotators: tuple[str, ...]
    left_out: tuple[Dropped, ...]


@dataclass(frozen=True)
class ImportSettings:
    """How files are read; `format` None finds it out from the first record.

    `judgements`: kept as their annotators', left out, or taken as the known answers of items that check annotators.
    `prefix` is put before the items' names. With `join` the responses of all files to one prompt are one item.
    """

    format: Format | None = None
    judgements: JudgementUse = "keep"
    prefix: str = ""
    join: bool = False
    annotator: str | None = None
    annotator_names: dict[str, str] = field(default_factory=dict)
    prompt_field: str | None = None
    response_fields: tuple[str, ...] | None = None
    buckets: tuple[str, ...] | None = None

    def reading(self, path: Path) -> ReadingOptions:
        """The same for one file, whose name stands for an annotator whom nothing names."""
        return ReadingOptions(
            annotator=self.annotator or path.name.partition(".")[0],
            annotator_names=self.annotator_names,
            prompt_field=self.prompt_field,
            response_fields=self.response_fields,
            buckets=self.buckets,
        )


def import_files(
    store: Store, paths: Sequence[Path], settings: ImportSettings, *, by: Actor | None = None
) -> ImportReport:
    """Items and judgements of the files into the store; doing it again changes nothing.

    DataError, before anything is stored, with file, line and reason of malformed records; and for an item whose name
    stands for other content in the store, where the batches before it are stored already.
    """
    formats = {path: settings.format or _format_of(path) for path in paths}
    if settings.join and len(paths) < 2:
        raise ConfigError(
            "join puts the responses of several files together, and there is one. Name more files."
        )
    for path in paths:
        for _ in _records(path, formats[path], settings, check=True):
            pass
    left_out = LeftOutCounts()
    importer = JudgementImport(store, by or Actor(), left_out.add)
    num_records = num_added = num_known = 0
    for path, records in _sources(paths, formats, settings):
        for chunk in in_chunks(records, _AT_ONCE):
            num_records += len(chunk)
            kept = []
            for record in chunk:
                if isinstance(record, LeftOut):
                    left_out.add(record.reason, path.name)
                    continue
                for reason in record.left_out:
                    left_out.add(reason, record.item.external_id)
                kept.append(record)
            added = add_items(store, [record.item for record in kept], source=path.name)
            num_added += added.num_added
            num_known += added.num_known
            importer.store_all(kept, item_numbers(store, [record.item.external_id for record in kept]))
    if not num_records:
        raise DataError(
            f"{', '.join(map(str, paths))}: there is nothing in it. Check that it is the right file."
        )
    store.refresh_statistics()
    report = ImportReport(
        format=formats[paths[0]],
        num_records=num_records,
        num_items_added=num_added,
        num_items_known=num_known,
        num_judgements_added=importer.num_added,
        num_judgements_known=importer.num_known,
        new_annotators=tuple(importer.new_annotators),
        left_out=tuple(left_out.dropped()),
    )
    details = {"items": num_added, "judgements": importer.num_added, "format": report.format}
    note_alone(store, "imported", by=by or Actor(), subject=", ".join(p.name for p in paths), details=details)
    return report


def _sources(
    paths: Sequence[Path], formats: dict[Path, Format], settings: ImportSettings
) -> Iterator[tuple[Path, Iterable[ImportedRecord | LeftOut]]]:
    if not settings.join:
        for path in paths:
            yield path, _records(path, formats[path], settings, check=False)
        return
    together = joined((p.stem, record) for p in paths for record in _read(p, formats[p], settings, _as_read))
    yield paths[0], (rankable(record, settings.judgements, settings.prefix) for record in together)


def _records(
    path: Path, format: Format, settings: ImportSettings, *, check: bool
) -> Iterator[ImportedRecord | LeftOut]:
    def made_rankable(record: ImportedRecord | LeftOut) -> ImportedRecord | LeftOut:
        return rankable(record, settings.judgements, settings.prefix, check=check)

    return _read(path, format, settings, made_rankable)


def _as_read(record: ImportedRecord | LeftOut) -> ImportedRecord | LeftOut:
    return record


def _read(
    path: Path,
    format: Format,
    settings: ImportSettings,
    then: Callable[[ImportedRecord | LeftOut], ImportedRecord | LeftOut],
) -> Iterator[ImportedRecord | LeftOut]:
    """The file's records, one by one; DataError about malformed ones comes behind the last."""
    rows, unit = open_file_rows(path)
    reader, options = READERS[format], settings.reading(path)

    def read(record: Record, record_id: str) -> ImportedRecord | LeftOut:
        try:
            return then(reader(record, record_id, options))
        except BadRecord:
            raise
        except (TypeError, KeyError, AttributeError, IndexError) as error:
            raise BadRecord(f"not of the format {format}: {error!r}") from error

    return iterate_records(rows, read, path=path, unit=unit)


def _format_of(path: Path) -> Format:
    rows, unit = open_file_rows(path)
    for number, record in rows:
        if isinstance(record, str):
            raise DataError(f"{path}, {unit} {number}: {record}")
        try:
            return format_of(record)
        except BadRecord as error:
            raise DataError(f"{path}, {unit} {number}: {error}") from error
    raise DataError(f"{path} is empty. Check that it is the right file.")
