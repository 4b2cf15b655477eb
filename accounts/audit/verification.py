"""Whether the audit is as it was written."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from accounts.audit.chain import BEGINNING, Head, digest_of, keys, mac_of, read_head
from accounts.audit.models import AuditDetails, AuditEntry
from accounts.models import User
from construct_site.database import one_snapshot

_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written, at this entry."""

    number: int
    text: str

    def __str__(self) -> str:
        return f"entry {self.number}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    head: Head
    """Where the chain ends, by its last entry."""
    faults: list[Fault]


def verify(kept: Head | None = None) -> Verdict:
    """Read the whole chain, of one moment. `kept` is a head that was written down earlier, elsewhere.

    Finds an entry that was changed, taken out or put in, details that were changed, or are gone
    while their user is there, and an end that was cut off, as far as `kept` or the database's own head tells.
    """
    keyring = keys()
    faults: list[Fault] = []
    number, mac = 0, BEGINNING
    is_kept_met = kept is None or kept == Head(0, BEGINNING)
    with one_snapshot():
        own = read_head()
        for entry, details, has_user in _entries():
            is_next = entry.number == number + 1
            if not is_next:
                faults.append(_gap(number + 1, entry.number - 1))
            key = keyring.get(bytes(entry.key_id))
            if key is None:
                faults.append(Fault(entry.number, "its key is not among CONSTRUCT_AUDIT_KEYS."))
            elif is_next and not hmac.compare_digest(mac_of(entry, mac, key), bytes(entry.mac)):
                faults.append(Fault(entry.number, "it was changed or put in, or the one before it was."))
            if fault := _fault_of_details(entry, details, has_user=has_user):
                faults.append(fault)
            number, mac = entry.number, bytes(entry.mac)
            is_kept_met = is_kept_met or Head(number, mac) == kept
    if number < own.number:
        faults.append(_gap(number + 1, own.number))
    elif Head(number, mac) != own:
        faults.append(Fault(number, "the end of the chain is not where the database says."))
    if kept is not None and not is_kept_met:
        if number < kept.number:
            faults.append(_gap(number + 1, kept.number))
        else:
            faults.append(Fault(kept.number, "it is another than when the head was kept."))
    return Verdict(Head(number, mac), faults)


def _gap(first: int, last: int) -> Fault:
    return Fault(first, "it is missing." if first >= last else f"it is missing, and all up to {last}.")


def _fault_of_details(entry: AuditEntry, details: AuditDetails | None, *, has_user: bool) -> Fault | None:
    if entry.details_digest is None:
        return Fault(entry.number, "details were put beside it.") if details else None
    if details is None:
        # They go with their user, and not before.
        return Fault(entry.number, "its details are missing.") if has_user else None
    is_same = hmac.compare_digest(digest_of(details), bytes(entry.details_digest))
    return None if is_same else Fault(entry.number, "its details were changed.")


def _entries() -> Iterator[tuple[AuditEntry, AuditDetails | None, bool]]:
    """In the order of their numbers, however many: with their details, and whether the user is there."""
    rows = AuditEntry.objects.order_by("number")
    batch = list(rows[:_ROWS_AT_ONCE])
    while batch:
        details = {each.entry_id: each for each in AuditDetails.objects.filter(entry__in=batch)}
        named = [each.user_id for each in batch if each.user_id and each.details_digest is not None]
        present = set(User.objects.filter(pk__in=named).values_list("pk", flat=True))
        for entry in batch:
            yield entry, details.get(entry.number), entry.user_id in present
        batch = list(rows.filter(number__gt=batch[-1].number)[:_ROWS_AT_ONCE])
