"""What the triggers of 0002 do not see: SQLite's INSERT OR REPLACE, and TRUNCATE on PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.db import migrations

EMPTIED = """CREATE FUNCTION audit_refuse_emptying() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN IF EXISTS (SELECT 1 FROM audit_auditevent) THEN RAISE EXCEPTION ''the audit log is written once''; END IF;
RETURN NULL; END'"""
GUARDS = {
    "sqlite": [
        """CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit_auditevent
WHEN EXISTS (SELECT 1 FROM audit_auditevent WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is written once'); END""",
    ],
    "postgresql": [
        EMPTIED,
        """CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_auditevent FOR EACH STATEMENT
EXECUTE FUNCTION audit_refuse_emptying()""",
    ],
}
"""MariaDB's TRUNCATE, which no trigger sees, needs the right to DROP."""
UNGUARD = {
    "sqlite": ["DROP TRIGGER audit_no_replace"],
    "postgresql": ["DROP TRIGGER audit_no_truncate ON audit_auditevent", "DROP FUNCTION audit_refuse_emptying()"],
}


def guard(apps: Any, editor: Any) -> None:
    for statement in GUARDS.get(editor.connection.vendor, []):
        editor.execute(statement)


def unguard(apps: Any, editor: Any) -> None:
    for statement in UNGUARD.get(editor.connection.vendor, []):
        editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_which_reads")]
    operations = [migrations.RunPython(guard, unguard)]
