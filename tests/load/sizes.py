"""How much of each load a run uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The defaults are those of a full run."""

    rounds: int = 5
    warm_up_s: float = 1.0
    measured_s: float = 5.0
    pairs: int = 50
    in_flight: int = 4
    singles_s: float = 3.0
    """One message at a time, in each round."""
    commits: int = 300
    """Measured single commits, in each round."""
    stubs: int = 50_000_000
    idle: int = 10_000
    few_idle: int = 100
    idle_s: float = 75.0
    """Longer than the longest pause between two heartbeats (60 s)."""
    bystander_rounds: int = 2
    drained_by_one: int = 10_000
    recipients: int = 1_000
    drained_by_each: int = 100
    drain_rounds: int = 2
    reconnects: int = 5_000
    reconnect_rounds: int = 2
    storm_rounds: int = 3
    storm_s: float = 8.0
    storm_rate: float = 200.0
    storm_sockets: int = 32
    """Logins at the same time: half of the hash queue, so none is refused."""
    searched: int = 1_000_000
    """Accounts that a search finds people among."""
    searches: int = 200
    """Of each of the five kinds, in each round."""
    names_tried: int = 400
    """Names for a login with a wrong password, of each kind, over each edge."""
    ids_tried: int = 1_500
    """Names to search for and ids to ask for, of each kind, over each edge."""
    acks: int = 5_000
    """Messages whose acks are compared, of each kind."""
    listed: int = 1_000_000
    """Accounts that the lists of the admin show, each with a session and a key bundle."""
    handled: int = 100_000
    """Audit entries, reports and invites."""
    pages: int = 40
    """Of each kind."""


FULL = Sizes()
QUICK = Sizes(
    rounds=2,
    warm_up_s=0.5,
    measured_s=2.0,
    singles_s=1.0,
    commits=100,
    stubs=200_000,
    idle=1_000,
    idle_s=5.0,
    bystander_rounds=1,
    drained_by_one=2_000,
    recipients=100,
    drained_by_each=20,
    drain_rounds=1,
    reconnects=500,
    reconnect_rounds=1,
    storm_rounds=1,
    storm_s=4.0,
    searched=50_000,
    searches=50,
    names_tried=40,
    ids_tried=150,
    acks=500,
    listed=50_000,
    handled=10_000,
    pages=20,
)

TINY = Sizes(
    rounds=1,
    warm_up_s=0.1,
    measured_s=0.4,
    pairs=4,
    singles_s=0.3,
    commits=5,
    stubs=1_000,
    idle=200,
    few_idle=5,
    idle_s=0.5,
    bystander_rounds=1,
    drained_by_one=40,
    recipients=4,
    drained_by_each=5,
    drain_rounds=1,
    reconnects=20,
    reconnect_rounds=1,
    storm_rounds=1,
    storm_s=1.5,
    storm_sockets=4,
    searched=300,
    searches=5,
    names_tried=3,
    ids_tried=6,
    acks=6,
    listed=300,
    handled=200,
    pages=3,
)
"""Proves that the harness works, and nothing about speed."""
