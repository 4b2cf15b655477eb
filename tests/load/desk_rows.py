"""What the lists of the admin show, beside the accounts that are there: made by PostgreSQL itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

import psycopg

STATES: LiteralString = """
UPDATE accounts_user SET
    is_active = n % 100 <> 1,
    is_approved = n % 100 <> 2,
    is_hidden = n % 100 = 3,
    must_reset_password = n % 100 = 4,
    is_staff = is_staff OR n = 5
FROM (
    SELECT id, row_number() OVER () AS n FROM accounts_user
    WHERE NOT EXISTS (SELECT FROM keys_prekeybundle WHERE user_id = id)
) AS numbered
WHERE numbered.id = accounts_user.id AND n % 100 BETWEEN 1 AND 5
"""
"""Of those that have no keys yet, one of a hundred is in each, but for the staff: a single one more."""
SUSPENSIONS: LiteralString = """
INSERT INTO accounts_suspension (id, user_id, public_reason, internal_reason, begun_at)
SELECT gen_random_uuid(), id, 'Spam.', 'report', now() - interval '3 days' FROM accounts_user WHERE NOT is_active
"""
SESSIONS: LiteralString = """
INSERT INTO accounts_session
    (id, user_id, token_digest, created_at, expires_at, last_used_at, client_label, address_digest, revoked_at)
SELECT
    gen_random_uuid(), id, sha256(convert_to(id::text, 'UTF8')), opened_at, opened_at + interval '30 days',
    now() - interval '1 hour', 'Construct/2.0', substr(sha256(convert_to(id::text || 'x', 'UTF8')), 1, 16),
    CASE WHEN random() < 0.02 THEN now() - interval '1 hour' END
FROM (SELECT id, now() - random() * interval '30 days 12 hours' AS opened_at FROM accounts_user) AS opened
"""
"""One an account. Of 25 one has ended, half of these by themselves."""
INVITES: LiteralString = """
INSERT INTO accounts_invite (digest, uses_left, created_at, expires_at, note)
SELECT
    substr(sha256(convert_to('invite ' || n, 'UTF8')), 1, 16), 1, now() - random() * interval '30 days',
    now() + interval '30 days', 'for choir ' || n
FROM generate_series(1, %(handled)s) AS n
"""
BUNDLES: LiteralString = """
INSERT INTO keys_prekeybundle
    (user_id, identity_public, verifying_key, signed_prekey_public, signature, created_at, rotated_at)
SELECT
    id, key, key, key, key || key, now() - interval '90 days', now() - random() * interval '40 days'
FROM (SELECT id, sha256(convert_to(id::text, 'UTF8')) AS key FROM accounts_user) AS keys
ON CONFLICT DO NOTHING
"""
RETIRED_PREKEYS: LiteralString = """
INSERT INTO keys_retiredprekey (bundle_id, signed_prekey_public, used_from, retired_at)
SELECT user_id, sha256(identity_public || n::text::bytea), now() - interval '90 days', now() - interval '60 days'
FROM keys_prekeybundle, generate_series(1, 5) AS n
WHERE get_byte(identity_public, 0) < 26
"""
"""Five for one of ten."""
HEAD: LiteralString = "INSERT INTO audit_audithead (id, number, mac) VALUES (1, 0, '') ON CONFLICT DO NOTHING"
AUDIT: LiteralString = """
INSERT INTO audit_auditentry (number, at, actor_kind, actor_id, action, user_id, target, reason, key_id, mac)
SELECT
    number + n, now() - (%(handled)s - n) * interval '1 minute',
    CASE WHEN n %% 100 = 0 THEN 'operator' WHEN n %% 100 = 1 THEN 'system' ELSE 'staff' END,
    CASE WHEN n %% 100 > 1 THEN staff.ids[1 + n %% 2] END,
    (ARRAY['suspend', 'lift_suspension', 'revoke_sessions', 'add_note', 'hide'])[1 + n %% 5],
    people.ids[1 + n %% 1000], '', 'because', '', ''
FROM
    audit_audithead,
    (SELECT array_agg(id) AS ids FROM accounts_user WHERE is_staff) AS staff,
    (SELECT array_agg(id) AS ids FROM (SELECT id FROM accounts_user LIMIT 1000) AS shown) AS people,
    generate_series(1, %(handled)s) AS n
"""
MOVED_HEAD: LiteralString = "UPDATE audit_audithead SET number = number + %(handled)s"
REPORTS: LiteralString = """
INSERT INTO moderation_report
    (id, reporter_id, reported_id, category, text, message_ids, created_at, state, note, assignee_id, merged_into_id)
SELECT
    gen_random_uuid(), people.ids[1 + n * 7 %% 1000], people.ids[1 + n %% 1000],
    (ARRAY['spam', 'harassment', 'impersonation', 'illegal', 'other'])[1 + n %% 5], 'Sells things.', '[]',
    now() - (%(handled)s - n) * interval '1 minute',
    CASE WHEN n %% 20 = 0 THEN 'taken' WHEN n %% 20 = 1 THEN 'dismissed' WHEN n %% 2 = 1 THEN 'resolved' ELSE 'new' END,
    '', CASE WHEN n %% 20 = 0 THEN staff.ids[1 + n / 20 %% 2] END, NULL
FROM
    (SELECT array_agg(id) AS ids FROM accounts_user WHERE is_staff) AS staff,
    (SELECT array_agg(id) AS ids FROM (SELECT id FROM accounts_user LIMIT 1000) AS shown) AS people,
    generate_series(1, %(handled)s) AS n
"""
REPEATS: LiteralString = """
UPDATE moderation_report SET merged_into_id = head.id, state = head.state
FROM (SELECT DISTINCT ON (reported_id) id, reported_id, state FROM moderation_report ORDER BY reported_id, created_at)
    AS head
WHERE moderation_report.reported_id = head.reported_id AND moderation_report.id <> head.id
    AND moderation_report.category = 'other' AND moderation_report.assignee_id IS NULL
"""
"""One of five belongs to the case that is the person's first."""
FILLING: Mapping[str, LiteralString] = {
    "states": STATES,
    "suspensions": SUSPENSIONS,
    "sessions": SESSIONS,
    "invites": INVITES,
    "bundles": BUNDLES,
    "retired prekeys": RETIRED_PREKEYS,
    "head": HEAD,
    "audit": AUDIT,
    "moved head": MOVED_HEAD,
    "reports": REPORTS,
    # Without it the next one goes through all reports for each person.
    "figures of reports": "ANALYZE moderation_report",
    "repeats": REPEATS,
}


def fill(database_url: str, handled: int) -> None:
    """A session and a key bundle for every account, some in each state; so many invites, reports and audit entries."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        # What it writes is thrown away with the database; a crash meanwhile loses nothing.
        connection.execute("SET synchronous_commit = off")
        for statement in FILLING.values():
            connection.execute(statement, {"handled": handled} if "%(handled)s" in statement else None)
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
