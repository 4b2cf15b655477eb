"""``manage.py create_staff USERNAME``: an account for the admin."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.management.operators import ask_password
from accounts.models import User
from accounts.services import check_registration
from construct_site.errors import ConstructError


class Command(BaseCommand):
    help = "Makes an account that may log into the admin. The password is asked for, or read from the input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *_args: Any, username: str, **_options: Any) -> None:
        password = ask_password()
        try:
            name = check_registration(username, password, None)
            # It has no keys, so nobody could write to it: searches do not find it.
            User.objects.create_user(username, password, display_name=name, is_staff=True, discoverable=False)
        except ConstructError as error:
            raise CommandError(error.text) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write("The account is made. A superuser gives it rights in the admin.")
