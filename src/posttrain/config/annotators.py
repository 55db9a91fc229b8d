"""The settings of managing the people of a store."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from posttrain.config.sections import Section


class StoreSection(Section):
    """The store whose people are meant."""

    store: str = Field(min_length=1)
    """The store: a file, or postgresql://user:password@host/database."""


class AnnotatorNameConfig(StoreSection):
    """One person of a store."""

    name: str = Field(min_length=1)
    """The person's name, as it stands in rankings."""


class InviteConfig(AnnotatorNameConfig):
    """Give a person a new invite, by which they set their password; also for a forgotten one."""

    address: str = Field("http://127.0.0.1:8042", pattern=r"^https?://[^/\s]+$")
    """Where the page is reached by this person, as the invite says it."""
    invite_days: float = Field(7.0, gt=0, le=90)
    """How long the invite holds."""


class AddAnnotatorConfig(InviteConfig):
    """Add a person, and print the invite by which they set their password, once."""

    role: Literal["annotator", "reviewer", "admin"] = "annotator"
    """annotator: ranks. reviewer: also sees everybody's work and settles disagreements. admin: also adds people."""
    password_file: str | None = None
    """A file with the person's password, - for standard input: for scripts, instead of an invite."""


class RoleConfig(AnnotatorNameConfig):
    """Give a person another role."""

    role: Literal["annotator", "reviewer", "admin"]
    """annotator, reviewer or admin; holds from the person's next request on."""
