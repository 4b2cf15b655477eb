"""Notes of the staff about accounts."""

from __future__ import annotations

from uuid import UUID

from accounts.models import StaffNote


def add_note(user_id: UUID, author_id: UUID, text: str) -> StaffNote:
    """Store a note. Within the caller's transaction, which has found the account."""
    return StaffNote.objects.create(user_id=user_id, author_id=author_id, text=text)
