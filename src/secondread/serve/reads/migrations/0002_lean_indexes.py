"""Indexes that others begin with are not kept twice; the queue finds what waits for a bundle by one of its own."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bundles', '0001_initial'),
        ('reads', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # first, so that no foreign key is without an index for a moment: MariaDB allows none
        migrations.AddIndex(
            model_name='read',
            index=models.Index(fields=['bundle', 'state', 'created'], name='reads_queue_of_a_bundle'),
        ),
        migrations.AddIndex(
            model_name='read',
            index=models.Index(fields=['owner', 'bundle', '-created'], name='reads_history_by_bundle'),
        ),
        migrations.AlterField(
            model_name='read',
            name='bundle',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='reads', to='bundles.registeredbundle'),
        ),
        migrations.AlterField(
            model_name='read',
            name='image',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='reads', to='reads.storedimage'),
        ),
        migrations.AlterField(
            model_name='read',
            name='owner',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='reads', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='storedimage',
            name='owner',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='images', to=settings.AUTH_USER_MODEL),
        ),
    ]
