"""Triggers that keep judgements as they were written, whatever program opens the database."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection


def forbid_changes(connection: Connection) -> None:
    """Afterwards the database refuses to change, replace, delete or truncate judgements."""
    for statement in _FOR_SQLITE if connection.dialect.name == "sqlite" else _FOR_POSTGRESQL:
        connection.exec_driver_sql(statement)


_REASON: Final = "judgements are only appended: submit one that replaces the other"
_REFUSE: Final = f"BEGIN SELECT RAISE(ABORT, '{_REASON}'); END"

# INSERT OR REPLACE deletes what is in its way without asking the trigger of DELETE.
_IN_THE_WAY: Final = (
    "judgement_id = NEW.judgement_id",
    "submission_id = NEW.submission_id",
    "replaces = NEW.replaces",
    "replaces IS NULL AND item_id = NEW.item_id AND annotator_id = NEW.annotator_id AND NEW.replaces IS NULL",
)
_FOR_SQLITE: Final = (
    f"CREATE TRIGGER judgements_refuse_update BEFORE UPDATE ON judgements {_REFUSE}",
    f"CREATE TRIGGER judgements_refuse_delete BEFORE DELETE ON judgements {_REFUSE}",
    "CREATE TRIGGER judgements_refuse_replace BEFORE INSERT ON judgements WHEN "
    + " OR ".join(f"EXISTS (SELECT 1 FROM judgements WHERE {condition})" for condition in _IN_THE_WAY)
    + f" {_REFUSE}",
)

_FOR_POSTGRESQL: Final = (
    "CREATE FUNCTION refuse_change_of_judgements() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REASON}'; END $$",
    "CREATE TRIGGER judgements_refuse_change BEFORE UPDATE OR DELETE ON judgements "
    "FOR EACH ROW EXECUTE FUNCTION refuse_change_of_judgements()",
    "CREATE TRIGGER judgements_refuse_truncate BEFORE TRUNCATE ON judgements "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_judgements()",
)
