from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_written_once")]
    operations = [
        # nullable: SQLite then adds the column where the table is; a default would copy the table and lose its triggers
        migrations.AddField(model_name="auditevent", name="reads", field=models.TextField(null=True)),
        migrations.AddIndex(
            model_name="auditevent", index=models.Index(fields=["actor", "at"], name="audit_of_an_actor")
        ),
    ]
