"""The ledger finds each fault that it is kept for, and none where there is none."""

from __future__ import annotations

import pytest

from tests.faults.ledger import Handed, Ledger, Sent


@pytest.fixture
def ledger() -> Ledger:
    """Alice sent three messages to Bob, who has two devices; all were acked in that order."""
    ledger = Ledger()
    for device in ("phone", "laptop"):
        ledger.add_device(device, "bob")
    ledger.add_device("tablet", "carol")
    for message_id in ("1", "2", "3"):
        ledger.send(message_id, Sent("alice", "bob", f"content {message_id}"))
        ledger.ack(message_id)
    return ledger


def hand(ledger: Ledger, ids: str, *, device: str = "phone", connection: int = 1) -> None:
    for message_id in ids:
        ledger.hand(Handed(device, connection, message_id, f"content {message_id}"))


def test_an_account_that_balances_has_no_faults(ledger: Ledger) -> None:
    hand(ledger, "123")
    hand(ledger, "123", device="laptop")
    verdict = ledger.verdict()
    assert verdict.faults == {}
    assert (verdict.sent, verdict.acked, verdict.delivered, verdict.again) == (3, 3, 3, 0)


def test_acked_and_handed_to_no_device_is_lost(ledger: Ledger) -> None:
    hand(ledger, "13")
    assert ledger.verdict().faults == {"lost": 1}
    assert ledger.verdict().delivered == 2
    assert ledger.missing() == {"2"}
    assert ledger.missing(among=["1", "3"]) == set()


def test_what_one_device_of_several_has_is_not_lost(ledger: Ledger) -> None:
    hand(ledger, "12")
    hand(ledger, "3", device="laptop")
    assert ledger.verdict().faults == {}
    assert (ledger.missing_on("phone"), ledger.missing_on("laptop")) == ({"3"}, {"1", "2"})


def test_sent_and_not_acked_is_not_lost_but_counted(ledger: Ledger) -> None:
    ledger.send("4", Sent("alice", "bob", "content 4"))
    hand(ledger, "123")
    assert ledger.verdict().faults == {"unacked": 1}


def test_twice_on_one_connection_is_duplicated(ledger: Ledger) -> None:
    hand(ledger, "1233")
    assert ledger.verdict().faults == {"duplicated": 1}


def test_once_more_on_a_later_connection_is_allowed_and_counted(ledger: Ledger) -> None:
    hand(ledger, "12")
    hand(ledger, "123", connection=2)
    assert ledger.verdict().faults == {}
    assert ledger.verdict().again == 2


@pytest.mark.parametrize(("ids", "disordered"), [("213", 1), ("321", 2), ("132", 1)])
def test_after_one_that_was_acked_later_is_disordered(ids: str, disordered: int, ledger: Ledger) -> None:
    hand(ledger, ids)
    assert ledger.verdict().faults == {"disordered": disordered}


def test_the_order_is_each_senders_own(ledger: Ledger) -> None:
    for message_id in ("4", "5"):
        ledger.send(message_id, Sent("dave", "bob", f"content {message_id}"))
        ledger.ack(message_id)
    hand(ledger, "41523")
    assert ledger.verdict().faults == {}


def test_the_order_begins_anew_with_each_connection(ledger: Ledger) -> None:
    hand(ledger, "3")
    hand(ledger, "123", connection=2)
    assert ledger.verdict().faults == {}


def test_what_an_error_left_in_doubt_is_in_no_order(ledger: Ledger) -> None:
    ledger.doubt("1")
    hand(ledger, "231")
    assert ledger.verdict().faults == {}


def test_another_content_is_altered(ledger: Ledger) -> None:
    hand(ledger, "12")
    ledger.hand(Handed("phone", 1, "3", "something else"))
    assert ledger.verdict().faults == {"altered": 1}


def test_what_somebody_else_is_handed_is_misdelivered_and_lost(ledger: Ledger) -> None:
    hand(ledger, "12")
    hand(ledger, "3", device="tablet")
    assert ledger.verdict().faults == {"lost": 1, "misdelivered": 1}


def test_what_nobody_sent_is_misdelivered(ledger: Ledger) -> None:
    hand(ledger, "1239")
    assert ledger.verdict().faults == {"misdelivered": 1}


def test_a_repeated_ack_keeps_the_first_ones_place(ledger: Ledger) -> None:
    ledger.ack("1")
    hand(ledger, "123")
    assert ledger.verdict().faults == {}


def test_an_id_is_used_once(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="one message"):
        ledger.send("1", Sent("alice", "bob", "content 1"))
