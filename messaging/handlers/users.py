"""`searchUsers`, `getPublicKey`, `rotatePrekey`: other people's names and everybody's keys."""

from __future__ import annotations

from uuid import UUID

from django.db import DatabaseError

from accounts import services as accounts
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import RateLimit
from keys import bundle
from keys import services as keys
from messaging.protocol import messages
from messaging.session import SocketSession


async def search_users(_socket: SocketSession, payload: messages.SearchUsers) -> messages.SearchResults:
    try:
        found = await run_in_database_thread(accounts.search_users, payload.query)
    except DatabaseError as error:
        raise ConstructError(ErrorCode.SEARCH_FAILED) from error
    return messages.SearchResults(
        users=[
            messages.FoundUser(
                id=str(user.id),
                username=user.username,
                display_name=user.display_name,
                avatar_url=user.avatar_url,
                bio=user.bio,
            )
            for user in found
        ]
    )


async def get_public_key(_socket: SocketSession, payload: messages.GetPublicKey) -> messages.PublicKeyBundle:
    served = await run_in_database_thread(keys.fetch_bundle, user_id_from(payload.user_id))
    return messages.PublicKeyBundle(
        user_id=str(served.user_id),
        username=served.username,
        identity_public=served.identity_public,
        signed_prekey_public=served.signed_prekey_public,
        signature=served.signature,
        verifying_key=served.verifying_key,
    )


async def rotate_prekey(socket: SocketSession, payload: messages.RotatePrekey) -> messages.KeyRotationSuccess:
    if user_id_from(payload.user_id) != socket.user_id:
        raise ConstructError(ErrorCode.FORBIDDEN, "Only your own prekey is yours to rotate.")
    update = bundle.parse_update(payload.update)
    # Counted here: what is refused for its form or its owner uses up nothing.
    await socket.node.limiter.hit(RateLimit.ROTATIONS, str(socket.user_id))
    await run_in_database_thread(keys.rotate_prekey, socket.user_id, update)
    return messages.KeyRotationSuccess()


def user_id_from(text: str) -> UUID:
    """The UUID of its 36-character form, in either case. Raises ``ConstructError(INVALID_USER_ID)``."""
    if len(text) == messages.UUID_LENGTH:
        try:
            parsed = UUID(text)
        except ValueError:
            pass
        else:
            if str(parsed) == text.lower():
                return parsed
    raise ConstructError(ErrorCode.INVALID_USER_ID)
