"""Accounts for a load, written into the database directly: `python -m tests.load.accounts COUNT [--password WORD]`.

Each has a key bundle and an open session, as if it had registered. The ids, tokens and names
go to standard output, one JSON array a line. The password's hash is made once, with the
configured parameters, and shared: checking it costs what any check does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta

from construct_site.env import REPOSITORY
from tests.load.commands.crowds import Person

BATCH_ROWS = 2000
SESSION_DAYS = 30


def make_people(count: int, environment: Mapping[str, str], password: str = "") -> list[Person]:
    """Make accounts in the database that a server's `environment` names, which must be migrated."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.load.accounts", str(count), "--password", password],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Person(*json.loads(line)) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--password", default="")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "construct_site.settings")
    import django

    django.setup()
    for person in _store(options.count, options.password):
        sys.stdout.write(json.dumps([person.user_id, person.token, person.username]) + "\n")


def _store(count: int, password: str) -> list[Person]:
    from django.contrib.auth.hashers import make_password
    from django.db import transaction
    from django.utils import timezone

    from accounts.folding import fold
    from accounts.models import Session, User
    from accounts.services.credentials import address_digest
    from accounts.services.sessions import TOKEN_BYTES, TOKEN_PREFIX
    from keys.models import PrekeyBundle
    from tests.keys.owners import KeyOwner

    encoded, bundle, now = make_password(password or None), KeyOwner().bundle(), timezone.now()
    run = secrets.token_hex(4)
    people, users, bundles, sessions = [], [], [], []
    for number in range(count):
        name, token = f"load-{run}-{number}", TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        user = User(username=name, display_name=name, password=encoded)
        user.username_folded = user.display_name_folded = fold(name)
        users.append(user)
        bundles.append(
            PrekeyBundle(
                user=user,
                identity_public=bundle.identity_public,
                verifying_key=bundle.verifying_key,
                signed_prekey_public=bundle.signed_prekey_public,
                signature=bundle.signature,
            )
        )
        sessions.append(
            Session(
                user=user,
                token_digest=hashlib.sha256(token.encode()).digest(),
                expires_at=now + timedelta(days=SESSION_DAYS),
                last_used_at=now,
                address_digest=address_digest(user.pk, "127.0.0.1"),
            )
        )
        people.append(Person(str(user.pk), token, name))
    with transaction.atomic():
        User.objects.bulk_create(users, BATCH_ROWS)
        PrekeyBundle.objects.bulk_create(bundles, BATCH_ROWS)
        Session.objects.bulk_create(sessions, BATCH_ROWS)
    return people


if __name__ == "__main__":
    main()
