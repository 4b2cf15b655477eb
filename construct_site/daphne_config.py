"""Daphne's app, for its `runserver`. A module of its own, as :mod:`accounts.admin_config` is."""

from django.apps import AppConfig


class DaphneConfig(AppConfig):
    """Daphne's own imports its server, and with it Twisted: 0.3 s of every command, most of which serve nobody."""

    name = "daphne"
