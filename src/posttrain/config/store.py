"""Where preference stores are, and the settings of what goes into them and comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from posttrain.config.sections import AnywherePath, Section


def _kept_store(where: str) -> str:
    """A file with its absolute path, a URL as it is; settings are written down, so no password."""
    if "://" not in where:
        return str(Path(where).expanduser().absolute())
    try:
        password = urlsplit(where).password
    except ValueError as error:
        raise ValueError(f"this is no URL of the form postgresql://user@host/database: {error}") from None
    if password is not None:
        raise ValueError(
            "the URL holds a password, and the run's folder keeps its settings for all to read. Leave it out, and set "
            "the environment's PGPASSWORD instead."
        )
    return where


def _file_or_store(where: object) -> object:
    if isinstance(where, str):
        kept = _kept_store(where)
        return kept if "://" in kept else Path(kept)
    return where.expanduser().absolute() if isinstance(where, Path) else where


StoreLocation = Annotated[str, Field(min_length=1), AfterValidator(_kept_store)]
"""A store's file (made absolute) or postgresql://user@host/database, without a password."""

FileOrStore = Annotated[Path | str, BeforeValidator(_file_or_store)]
"""A path that is made absolute, which may be that of a store, or a store's URL."""


class StoreImportConfig(Section):
    """Put prompts with responses, and what people said of them, from files into a store, which is made if need be."""

    store: str = Field(min_length=1)
    """The store: a file, or postgresql://user:password@host/database."""
    files: tuple[AnywherePath, ...] = Field(min_length=1)
    """JSONL, JSON (also with .gz) or Parquet."""
    format: Literal["auto", "samples", "rankings", "pairs", "argilla", "label_studio", "ultrafeedback"] = (
        "auto"
    )
    """samples: prompt, responses. rankings: with ranks, also our own export. pairs: prompt, chosen, rejected (also
    hh-rlhf). argilla, label_studio: their exports. auto: by the first record."""
    judgements: Literal["keep", "leave_out", "gold"] = "keep"
    """What becomes of rankings in the files: kept as their annotators', left out, or taken as known answers, by which
    annotators are checked."""
    prefix: str = ""
    """Put before each item's id, so that files with the same ids can stand in one store."""
    join: bool = False
    """Put the responses of all files to one prompt together: how answers of several checkpoints are ranked."""
    annotator: str | None = None
    """Whose the judgements are where a file does not say; by default the file's name without its ending."""
    annotator_names: dict[str, str] = Field(default_factory=dict)
    """Names in the store for annotators whom a file names by a number or an id: { "3" = "anna" }."""
    prompt_field: str | None = None
    """The prompt's field in exports of other tools, where its name does not say."""
    response_fields: tuple[str, ...] | None = None
    """The responses' fields, in the order of left and right or of the ranking's names, where they do not say."""
    buckets: tuple[str, ...] | None = None
    """Label Studio's buckets, best first; what lies in one is tied."""


class StoreExportConfig(Section):
    """Write what people said to a file: all of it, as pairs for TRL, or as grades."""

    store: str = Field(min_length=1)
    """The store: a file, or postgresql://user:password@host/database."""
    file: AnywherePath
    """A new .jsonl or .parquet, or a name without an ending for a folder of the library datasets."""
    format: Literal["rankings", "pairs", "grades"] = "rankings"
    """rankings: every judgement, whole; importing it gives the same store. pairs: TRL's prompt, chosen, rejected.
    grades: prompt, completion, label, grade."""
    ties: Literal["drop", "soft", "both"] = "drop"
    """Equal ranks in pairs: no pair; one with chosen_probability 0.5; or one each way, for trainers without soft
    labels."""
    cut: Literal["leave_out", "keep"] = "leave_out"
    """Responses that were cut by length, in pairs and grades: read as if they had ended there, they teach that stopping
    in the middle is good or bad."""
    messages: bool = False
    """Write all prompts and responses as messages, which TRL renders with the chat template."""
    good_from: int = Field(4, ge=1, le=5)
    """In grades: the label is true from this grade up."""
