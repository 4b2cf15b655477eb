"""`searchUsers`, `getPublicKey`, `rotatePrekey`: other people's names and everybody's keys."""

from __future__ import annotations

from accounts import services as accounts
from accounts.services import parse_user_id
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from keys import services as keys
from keys.rotation import rotate
from messaging.protocol import messages
from messaging.session import SocketSession


async def search_users(_socket: SocketSession, payload: messages.SearchUsers) -> messages.SearchResults:
    found = await run_in_database_thread(accounts.search_users, payload.query)
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


async def get_public_key(socket: SocketSession, payload: messages.GetPublicKey) -> messages.PublicKeyBundle:
    served = await run_in_database_thread(
        keys.fetch_bundle, parse_user_id(payload.user_id), asked_by=socket.user_id
    )
    return messages.PublicKeyBundle(
        user_id=str(served.user_id),
        username=served.username,
        identity_public=served.identity_public,
        signed_prekey_public=served.signed_prekey_public,
        signature=served.signature,
        verifying_key=served.verifying_key,
    )


async def rotate_prekey(socket: SocketSession, payload: messages.RotatePrekey) -> messages.KeyRotationSuccess:
    if parse_user_id(payload.user_id) != socket.user_id:
        raise ConstructError(ErrorCode.FORBIDDEN, "Only your own prekey is yours to rotate.")
    await rotate(socket.user_id, payload.update, asked_by=socket.connection.session_id)
    return messages.KeyRotationSuccess()
