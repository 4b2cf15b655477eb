"""Meters of one socket, and the cap on sockets of an address."""

from __future__ import annotations

import pytest

from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import BadFrameMeter, FloodMeter
from construct_site.limits.connections import ConnectionCounter
from tests.construct_site.conftest import Amounts

MIB = 1024 * 1024


def test_the_twentieth_bad_frame_in_a_minute_is_too_many() -> None:
    meter = BadFrameMeter()
    assert [meter.count(100.0 + second) for second in range(20)] == [False] * 19 + [True]


def test_bad_frames_are_counted_over_any_minute() -> None:
    meter = BadFrameMeter()
    at = [100.0 + 3.16 * number for number in range(60)]  # never twenty within less than 60 s
    assert not any(meter.count(now) for now in at)
    assert meter.count(at[-1])


@pytest.mark.parametrize("limit", [0, 1])
def test_where_no_bad_frame_is_allowed_the_first_is_too_many(amounts: Amounts, limit: int) -> None:
    amounts(bad_frames_per_minute=limit)
    assert BadFrameMeter().count(100.0)


def test_a_steady_stream_at_the_rate_is_no_flood() -> None:
    meter = FloodMeter()
    assert not any(meter.count(1000 + number / 200, 5000) for number in range(200 * 60))


def test_a_burst_of_five_seconds_worth_is_no_flood_but_one_frame_more_is() -> None:
    meter = FloodMeter()
    assert not any(meter.count(1000.0, 100) for _ in range(1000))
    assert meter.count(1000.0, 100)


def test_a_burst_every_five_seconds_within_the_average_is_no_flood() -> None:
    meter = FloodMeter()
    assert not any(meter.count(1000.0 + 5 * burst, 100) for burst in range(20) for _ in range(1000))


def test_bytes_flood_on_their_own() -> None:
    meter = FloodMeter()
    frame_bytes = 128 * 1024
    assert not any(meter.count(1000.0, frame_bytes) for _ in range(5 * MIB // frame_bytes))
    assert meter.count(1000.0, frame_bytes)
    assert not FloodMeter().count(1000.0, 5 * MIB)


def test_one_and_a_half_times_the_rate_floods_within_ten_seconds() -> None:
    meter = FloodMeter()
    flooded_at = next(number for number in range(6000) if meter.count(1000 + number / 300, 10)) / 300
    assert 5 < flooded_at <= 10.1


def test_with_limits_off_no_meter_trips(amounts: Amounts) -> None:
    amounts(limits="off", bad_frames_per_minute=1, flood_frames_per_s=1, flood_bytes_per_s=1)
    bad, flood = BadFrameMeter(), FloodMeter()
    assert not any(bad.count(0.0) or flood.count(0.0, MIB) for _ in range(5000))


def test_an_address_has_fifty_sockets(amounts: Amounts) -> None:
    connections = ConnectionCounter()
    for host in range(50):
        connections.open(f"2001:db8::{host:x}")
    with pytest.raises(ConstructError) as caught:
        connections.open("2001:db8::ffff")
    assert caught.value.code is ErrorCode.TOO_MANY_CONNECTIONS
    connections.open("2001:db8:0:1::1")
    connections.close("2001:db8::1")
    connections.open("2001:db8::ffff")


def test_closed_sockets_leave_nothing_behind(amounts: Amounts) -> None:
    amounts(connections_per_address=1)
    connections = ConnectionCounter()
    connections.open("192.0.2.1")
    connections.close("192.0.2.1")
    connections.close("192.0.2.1")
    assert len(connections) == 0
    connections.open("192.0.2.1")
    with pytest.raises(ConstructError):
        connections.open("192.0.2.1")
    with pytest.raises(ConstructError):
        connections.open("192.0.2.1")


def test_a_refused_address_is_not_remembered(amounts: Amounts) -> None:
    amounts(connections_per_address=0)
    connections = ConnectionCounter()
    with pytest.raises(ConstructError):
        connections.open("192.0.2.1")
    assert len(connections) == 0
