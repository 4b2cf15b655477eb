from django.apps import AppConfig


class DeskConfig(AppConfig):
    name = "accounts.desk"

    def ready(self) -> None:
        from accounts.desk import pages, tools

        pages.register()
        tools.register()
