"""The permissions of staff belong to no table of their own."""

from __future__ import annotations

from accounts.desk.permissions import May
from accounts.models import User


class Desk(User):
    """Holds the permissions of :class:`~accounts.desk.permissions.May`. Its rows are the accounts."""

    class Meta:
        proxy = True
        default_permissions = ()
        permissions = [(each.codename, each.label) for each in May]
        verbose_name_plural = "desk"
