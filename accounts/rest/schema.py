"""How the schema tells of session tokens. Imported with the endpoints, which registers it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class SessionTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # the library leaves it untyped
    """``Authorization: Bearer <sessionToken>``."""

    target_class = "accounts.rest.authentication.SessionToken"
    name = "sessionToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - the library's signature
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "The sessionToken of a login or registration.",
        }
