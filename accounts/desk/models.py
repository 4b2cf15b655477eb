"""The permissions of staff belong to no table of their own."""

from __future__ import annotations

from django.db import models

from accounts.desk.permissions import May


class Desk(models.Model):
    """Holds the permissions of :class:`~accounts.desk.permissions.May`. There is no table and no row."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [(each.codename, each.label) for each in May]
        verbose_name_plural = "desk"

    def __str__(self) -> str:
        return "desk"
