from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "construct_site"

    def ready(self) -> None:
        from construct_site import checks  # noqa: F401, PLC0415 - registers the system checks
