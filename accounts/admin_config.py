"""Django's admin on our site. A module of its own: Django takes one AppConfig from an app's ``apps.py``."""

from django.contrib.admin.apps import AdminConfig


class StaffAdminConfig(AdminConfig):
    default_site = "accounts.admin_site.StaffAdminSite"
