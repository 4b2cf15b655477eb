"""The mailbox: the durable truth about messages that wait.

Contract
--------
* :meth:`~messaging.mailbox.mailbox.Mailbox.put` returns once the message is on
  disk (or already was). What it returned for is never lost: it leaves only by
  :meth:`~messaging.mailbox.mailbox.Mailbox.confirm`, by expiry, with the
  account, when its encryption key is gone, or when its recipient, whose keys
  were lost, has it dropped (:mod:`messaging.replacement`).
* A message is named by (sender, recipient, id). Of any number of puts of one
  name, on any number of processes, exactly one stores a row, also while the dedup
  key that hashes the name is rotated (:mod:`messaging.mailbox.rotation`).
* Rows of one process are numbered in the order of its puts, so pages keep the
  order of each sender.
* A confirmed or dropped message is never paged again; its stub answers re-sends for
  ``CONSTRUCT_STUB_S``.
* Caps are checked in the storing statement; they may be exceeded by one batch
  per process.
"""
