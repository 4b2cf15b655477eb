from django.apps import AppConfig


class DeskConfig(AppConfig):
    name = "accounts.desk"

    def ready(self) -> None:
        from accounts.desk import pages

        pages.register()
