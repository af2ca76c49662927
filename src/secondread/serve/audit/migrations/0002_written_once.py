"""The database itself refuses to change or remove audit events."""

from __future__ import annotations

from typing import Any

from django.db import migrations

SQLITE = """CREATE TRIGGER audit_no_{verb} BEFORE {VERB} ON audit_auditevent
BEGIN SELECT RAISE(ABORT, 'the audit log is written once'); END"""
MYSQL = """CREATE TRIGGER audit_no_{verb} BEFORE {VERB} ON audit_auditevent FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit log is written once'"""
POSTGRES = """CREATE TRIGGER audit_no_{verb} BEFORE {VERB} ON audit_auditevent FOR EACH ROW
EXECUTE FUNCTION audit_refuse()"""
REFUSE = """CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''the audit log is written once''; END'"""
STATEMENTS = {"sqlite": SQLITE, "mysql": MYSQL, "postgresql": POSTGRES}


def guard(apps: Any, editor: Any) -> None:
    vendor = editor.connection.vendor
    if vendor == "postgresql":
        editor.execute(REFUSE)
    for verb in ("update", "delete"):
        editor.execute(STATEMENTS[vendor].format(verb=verb, VERB=verb.upper()))


def unguard(apps: Any, editor: Any) -> None:
    vendor = editor.connection.vendor
    for verb in ("update", "delete"):
        editor.execute(f"DROP TRIGGER audit_no_{verb}" + (" ON audit_auditevent" if vendor == "postgresql" else ""))
    if vendor == "postgresql":
        editor.execute("DROP FUNCTION audit_refuse()")


class Migration(migrations.Migration):
    atomic = False  # MySQL cannot make triggers in a transaction
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
