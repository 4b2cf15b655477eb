"""What the OpenAPI schema says of all bodies."""

from __future__ import annotations

from typing import Any


def refuse_unknown_fields(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: as :class:`~construct_site.rest.payloads.Payload` has it, no body has other fields."""
    for name, schema in result.get("components", {}).get("schemas", {}).items():
        if name.endswith("Request"):
            schema["additionalProperties"] = False
    return result
