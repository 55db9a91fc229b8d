"""The settings of the page on which people rank."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from posttrain.config.sections import AnywherePath, Section


class RankPageConfig(Section):
    """Open the page on which people rank the responses of a store."""

    store: str = Field(min_length=1)
    """The store: a file that `posttrain sample --store` or `posttrain store import` filled, or
    postgresql://user:password@host/database."""
    host: str = Field("127.0.0.1", min_length=1)
    """Where to listen. 127.0.0.1: this machine alone, whoever has the printed address is an admin. Anything else
    (0.0.0.0 for all networks) needs people who sign in: posttrain annotators add."""
    port: int = Field(8042, ge=0, le=65535)
    """0 takes a free one."""
    annotator: str | None = None
    """Who ranks at the printed address. By default your login name."""
    overlap: int | None = Field(None, ge=1)
    """How many people judge each prompt. Kept in the store; 1 in a new one."""
    gold_every: int | None = Field(None, ge=0)
    """One of so many prompts that a person gets has a known answer, 0: none. Kept in the store; 0 in a new one."""
    lease_minutes: float | None = Field(None, gt=0)
    """How long a prompt is kept for the person who has it open. Kept in the store; 30 in a new one."""
    guidelines: AnywherePath | None = None
    """A Markdown file of what people are told; each judgement says which version of it was in force."""
    tags: tuple[str, ...] | None = None
    """Tags that the page offers for a response, such as "helpful,wrong,too long"; "" offers none. Kept in the store;
    common faults in a new one."""
    session_hours: float = Field(24.0, gt=0, le=24 * 90)
    """People sign in again when they have not used the page for so long."""
    hosts: tuple[str, ...] = ()
    """Names by which browsers may call the server, besides its addresses, localhost and this machine's name."""
    https_proxy: str | None = None
    """The address of a reverse proxy before this server that speaks https, for example 127.0.0.1. Its X-Forwarded-For
    is believed, cookies are sent over https alone, and everybody signs in."""

    @field_validator("tags", mode="before")
    @classmethod
    def _of_one_line(cls, tags: object) -> object:
        """On the command line they are parted by commas."""
        return [tag for tag in tags.split(",") if tag.strip()] if isinstance(tags, str) else tags

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.https_proxy is not None and not self.hosts:
            raise ValueError(
                "https_proxy is set, so browsers know the server by the proxy's name. Set hosts to it: "
                "--hosts rank.example.org"
            )
        return self
