"""The server's figures by the hour, and its processes. Only :mod:`construct_site.metrics.store` writes here."""

from __future__ import annotations

from django.db import models


class HourlyMetric(models.Model):
    """One figure of one hour, of all processes together. Nothing in it is of a user."""

    metric = models.CharField(max_length=32)
    """A word of :class:`~construct_site.metrics.table.Metric`."""
    hour = models.DateTimeField()
    """When the hour began."""
    bucket = models.PositiveSmallIntegerField(default=0)
    """Of times: the position of their class. Else 0."""
    value = models.BigIntegerField()

    class Meta:
        # Also the index by which the figures are read.
        constraints = [
            models.UniqueConstraint(fields=["metric", "hour", "bucket"], name="metric_once_an_hour")
        ]

    def __str__(self) -> str:
        return f"{self.metric} of {self.hour}"


class ProcessFigures(models.Model):
    """What a server process says of itself, each time it stores what it counted. It goes when the process ends."""

    id = models.CharField(max_length=16, primary_key=True)
    """Random, another at each start."""
    connections = models.PositiveIntegerField()
    """Authenticated sockets."""
    batch = models.PositiveBigIntegerField()
    """The number of the batch of counts that was stored with it: the same one again is not added twice."""
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"process {self.pk}"
