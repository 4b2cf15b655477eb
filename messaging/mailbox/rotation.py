"""A batch while the dedup key is rotated: what its letters have in the mailbox under the further keys.

Both functions are steps of one transaction that holds the locks on the letters'
pairs (:meth:`messaging.mailbox.store.Store.put`).
"""

from __future__ import annotations

from collections.abc import Sequence

from messaging.mailbox.letters import Letter, Outcome, judge_repeat
from messaging.models import MailboxMessage


def find_earlier(letters: Sequence[Letter]) -> dict[bytes, Outcome]:
    """The outcomes of the letters that were stored under a further key, by their current names.

    They are not stored again, nor under the further name: their frames are bound
    to the current one.
    """
    of_name = {digests.name: (letter, digests) for letter in letters for digests in letter.further}
    rows = MailboxMessage.objects.filter(name__in=list(of_name))
    outcomes: dict[bytes, Outcome] = {}
    columns = rows.values_list("id", "name", "body", "recipient_id", "is_request")
    for row_id, name, body, recipient_id, is_request in columns:
        letter, digests = of_name[bytes(name)]
        outcomes[letter.name] = judge_repeat(
            row_id,
            is_same_body=bytes(body) == digests.body,
            waits=recipient_id is not None,
            is_request=is_request,
        )
    return outcomes


def renew_pairs(letters: Sequence[Letter]) -> None:
    """Bring the waiting rows of the letters' pairs under the current key.

    The sender's share of the mailbox and the order of its messages go on counting
    across the rotation, and no row of a pair that still writes needs the former key.
    """
    current = {digests.pair: letter.pair for letter in letters for digests in letter.further}
    recipients = {letter.recipient_id for letter in letters}
    waiting = MailboxMessage.objects.filter(recipient_id__in=recipients)
    found = waiting.filter(pair__in=list(current)).values_list("recipient_id", "pair").distinct()
    for recipient_id, former in {(recipient_id, bytes(pair)) for recipient_id, pair in found if pair}:
        # A row that another transaction holds is being confirmed or deleted: it is not waited for,
        # so that this transaction, which holds rows itself, is never part of a deadlock.
        rows = MailboxMessage.objects.filter(recipient_id=recipient_id, pair=former)
        rows = rows.select_for_update(skip_locked=True, no_key=True)
        MailboxMessage.objects.filter(id__in=rows.values("id")).update(pair=current[former])
