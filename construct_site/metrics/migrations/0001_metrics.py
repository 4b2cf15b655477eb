"""The server's figures by the hour, and its processes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="ProcessFigures",
            fields=[
                ("id", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("connections", models.PositiveIntegerField()),
                ("batch", models.PositiveBigIntegerField()),
                ("updated_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="HourlyMetric",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("metric", models.CharField(max_length=32)),
                ("hour", models.DateTimeField()),
                ("bucket", models.PositiveSmallIntegerField(default=0)),
                ("value", models.BigIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("metric", "hour", "bucket"), name="metric_once_an_hour")
                ],
            },
        ),
    ]
