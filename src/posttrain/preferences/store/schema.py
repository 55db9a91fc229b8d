"""The tables of a store, as its newest version has them; `migrations` brings older ones here.

    items 1─n responses            what is judged; never changes
    queue_entries 1─1 items        an item's place in the queue; changes all the time
    annotators                     people; web_sessions, login_attempts and audit_log say what they did
    leases, drafts                 who works at which item now, and what they have so far
    seen_others                    who was shown what others said of which item
    judgements                     append-only; triggers refuse UPDATE and DELETE
    current_judgements             of each person and item the newest judgement
    guidelines, settings           what annotators are told, and how the queue hands out

Times are seconds since 1970 (UTC). Text that a model or a person wrote freely is JSON, see `column_types`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from posttrain.preferences.store.column_types import IdNumber, JsonText

metadata: Final = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", Double, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("item_id", IdNumber, primary_key=True, autoincrement=False),  # in the order of import
    Column("external_id", Text, nullable=False, unique=True),
    Column("public_id", BigInteger, nullable=False, unique=True),  # random: what annotators know it by
    Column("content_hash", Text, nullable=False),
    Column("prompt", JsonText, nullable=False),
    Column("columns", JsonText, nullable=False),
    Column("gold_ranks", JsonText, nullable=False),  # null in JSON: an item without a known answer
    Column("source", Text, nullable=False),
    Column("added_at", Double, nullable=False),
)

responses = Table(
    "responses",
    metadata,
    Column("item_id", IdNumber, ForeignKey("items.item_id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("text", JsonText, nullable=False),
    Column("finish_reason", Text, nullable=False),  # "" where it is not known
    Column("model", Text, nullable=False),  # "" where it is not known
    PrimaryKeyConstraint("item_id", "position"),
)

queue_entries = Table(
    "queue_entries",
    metadata,
    # Not INTEGER, which in SQLite would be the row's own number: its indexes seek (key, number) pairs of columns only.
    Column("item_id", BigInteger, ForeignKey("items.item_id"), primary_key=True, autoincrement=False),
    # Minus the priority, so that one index in ascending order is the order of the queue.
    Column("queue_key", Double, nullable=False),
    Column("queue", Text, nullable=False),  # the targeted queue it was put in, "" for none
    Column("is_gold", Boolean, nullable=False),
    Column("overlap", Integer),  # NULL: the store's
    Column("num_judges", Integer, nullable=False),  # people whose current judgement is no skip
    Column("is_open", Boolean, nullable=False),  # num_judges < overlap
)
# SQLite uses these only for queries that say the conditions in the same words, and SQLAlchemy says `= 1` there.
Index(
    "queue_order",
    queue_entries.c.queue_key,
    queue_entries.c.item_id,
    sqlite_where=text("is_open = 1 AND is_gold = 0"),
    postgresql_where=text("is_open AND NOT is_gold"),
)
Index(
    "queue_of_gold",
    queue_entries.c.queue_key,
    queue_entries.c.item_id,
    sqlite_where=text("is_gold = 1"),
    postgresql_where=text("is_gold"),
)

annotators = Table(
    "annotators",
    metadata,
    Column("annotator_id", IdNumber, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True),  # `people.name_key`: one person for all spellings
    Column("role", Text, CheckConstraint("role IN ('annotator', 'reviewer', 'admin')"), nullable=False),
    Column("password_hash", Text),
    Column("invite_hash", Text, unique=True),
    Column("invite_expires_at", Double),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("shuffle_seed", IdNumber, nullable=False),
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("annotator_id", IdNumber, ForeignKey("annotators.annotator_id"), nullable=False, index=True),
    Column(
        "kind", Text, nullable=False
    ),  # how it began: "password", or "printed" for the address in the terminal
    Column("created_at", Double, nullable=False),
    Column("last_seen_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)

login_attempts = Table(
    "login_attempts",
    metadata,
    Column("attempt_id", IdNumber, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, index=True),
    Column("address", Text, nullable=False, index=True),
    Column("attempted_at", Double, nullable=False, index=True),
    Column("succeeded", Boolean, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("entry_id", IdNumber, primary_key=True, autoincrement=True),
    Column("happened_at", Double, nullable=False),
    Column("annotator_id", IdNumber, ForeignKey("annotators.annotator_id")),  # NULL: nobody was logged in
    Column("action", Text, nullable=False),
    Column("subject", JsonText, nullable=False),  # what it was done to
    Column("address", Text, nullable=False),
    Column("details", JsonText, nullable=False),
)

guidelines = Table(
    "guidelines",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", JsonText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("author", Text, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", JsonText, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("item_id", IdNumber, ForeignKey("items.item_id"), nullable=False),
    Column("annotator_id", IdNumber, ForeignKey("annotators.annotator_id"), nullable=False, index=True),
    Column("leased_at", Double, nullable=False),
    # The row stays when the lease has expired: it says that the person was once given the item.
    Column("expires_at", Double, nullable=False),
    Column("own_number", IdNumber, nullable=False),  # how many items they had been given with this one
    PrimaryKeyConstraint("item_id", "annotator_id"),
)

drafts = Table(
    "drafts",
    metadata,
    Column("item_id", IdNumber, ForeignKey("items.item_id"), nullable=False),
    Column("annotator_id", IdNumber, ForeignKey("annotators.annotator_id"), nullable=False),
    Column("content", JsonText, nullable=False),
    Column("revision", IdNumber, nullable=False),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("annotator_id", "item_id"),
)

seen_others = Table(
    "seen_others",
    metadata,
    Column("item_id", IdNumber, ForeignKey("items.item_id"), nullable=False),
    Column("annotator_id", IdNumber, ForeignKey("annotators.annotator_id"), nullable=False),
    Column("seen_at", Double, nullable=False),
    PrimaryKeyConstraint("annotator_id", "item_id"),
)

queue_cursors = Table(
    "queue_cursors",
    metadata,
    Column(
        "annotator_id",
        IdNumber,
        ForeignKey("annotators.annotator_id"),
        primary_key=True,
        autoincrement=False,
    ),
    # Whatever stands in the queue before this place is closed or done by this person, as long as ...
    Column("queue_key", Double, nullable=False),
    Column("item_id", IdNumber, nullable=False),
    Column("queue_version", IdNumber, nullable=False),  # ... the queue still has this version.
    Column("num_handed_out", IdNumber, nullable=False),  # says when the next gold item is due
)

judgements = Table(
    "judgements",
    metadata,
    Column("judgement_id", IdNumber, primary_key=True, autoincrement=True),
    Column("submission_id", Text, nullable=False, unique=True),
    Column("item_id", IdNumber, ForeignKey("items.item_id"), nullable=False),
    Column("annotator_id", IdNumber, ForeignKey("annotators.annotator_id"), nullable=False),
    Column("kind", Text, CheckConstraint("kind IN ('ranking', 'cannot_rank', 'skip')"), nullable=False),
    Column("ranks", JsonText, nullable=False),  # null in JSON unless the kind is "ranking"
    Column("unacceptable", JsonText, nullable=False),
    Column("grades", JsonText, nullable=False),
    Column("tags", JsonText, nullable=False),
    Column("note", JsonText, nullable=False),
    Column("is_flagged", Boolean, nullable=False),
    Column("settles", Boolean, nullable=False),  # made with everyone's judgements in view
    Column("order_shown", JsonText, nullable=False),
    Column("guideline_version", Integer, ForeignKey("guidelines.version")),
    Column("seconds", Double, nullable=False),
    Column("submitted_at", Double, nullable=False),
    Column("replaces", IdNumber, ForeignKey("judgements.judgement_id"), unique=True),
)
# One line of judgements for each person and item: a first one, and each later one replaces another.
Index(
    "first_judgements",
    judgements.c.item_id,
    judgements.c.annotator_id,
    unique=True,
    sqlite_where=text("replaces IS NULL"),
    postgresql_where=text("replaces IS NULL"),
)

current_judgements = Table(
    "current_judgements",
    metadata,
    Column("annotator_id", IdNumber, ForeignKey("annotators.annotator_id"), nullable=False),
    Column("item_id", IdNumber, ForeignKey("items.item_id"), nullable=False, index=True),
    Column("judgement_id", IdNumber, ForeignKey("judgements.judgement_id"), nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("own_number", IdNumber),  # that of the lease; NULL: the queue did not give it to them
    PrimaryKeyConstraint("annotator_id", "item_id"),
    Index("history_of_annotator", "annotator_id", "judgement_id"),
)
