"""The mailbox's key rings, from the configuration."""

from __future__ import annotations

import base64

from construct_site.env import Config
from messaging.mailbox.sealing import KeyRing, Names


def key_ring(config: Config) -> KeyRing:
    return KeyRing([base64.b64decode(key) for key in config.mailbox_keys])


def names(config: Config) -> Names:
    return Names([base64.b64decode(key) for key in (config.dedup_key, *config.further_dedup_keys)])
