"""Triggers that keep judgements as they were written, whatever program opens the database."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

_REASON: Final = "judgements are only appended: submit one that replaces the other"


def forbid_changes(connection: Connection) -> None:
    """Afterwards the database refuses to change, delete or truncate judgements."""
    statements = _FOR_SQLITE if connection.dialect.name == "sqlite" else _FOR_POSTGRESQL
    for statement in statements:
        connection.execute(text(statement))


_FOR_SQLITE: Final = tuple(
    f"CREATE TRIGGER judgements_refuse_{action} BEFORE {action} ON judgements "
    f"BEGIN SELECT RAISE(ABORT, '{_REASON}'); END"
    for action in ("UPDATE", "DELETE")
)

_FOR_POSTGRESQL: Final = (
    "CREATE FUNCTION refuse_change_of_judgements() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REASON}'; END $$",
    "CREATE TRIGGER judgements_refuse_change BEFORE UPDATE OR DELETE ON judgements "
    "FOR EACH ROW EXECUTE FUNCTION refuse_change_of_judgements()",
    "CREATE TRIGGER judgements_refuse_truncate BEFORE TRUNCATE ON judgements "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_judgements()",
)
