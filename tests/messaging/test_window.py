from __future__ import annotations

from messaging.window import Window


def window(messages: int = 4, size: int = 100, *, most: int = 8, size_most: int = 300) -> Window:
    return Window(messages, size, most, size_most)


def test_messages_fit_up_to_their_number() -> None:
    made = window(messages=2)
    made.take(1)
    assert made.fits(1)
    made.take(1)
    assert not made.fits(1)
    assert made.is_full
    assert made.messages_free == 0


def test_messages_fit_up_to_their_bytes() -> None:
    made = window(size=100)
    made.take(60)
    assert made.fits(40)
    assert not made.fits(41)
    assert (made.bytes_free, made.is_full) == (40, False)


def test_one_message_of_any_size_fits_an_empty_window() -> None:
    made = window(size=100)
    assert made.fits(10**6)
    made.take(10**6)
    assert (made.bytes_free, made.messages_free, made.is_full) == (0, 3, True)
    assert not made.fits(0)


def test_what_is_given_back_is_free_again() -> None:
    made = window(messages=1)
    made.take(50)
    made.give_back(50)
    assert (made.messages, made.bytes) == (0, 0)
    assert made.fits(100)


def test_an_empty_window_is_never_full() -> None:
    assert not Window(0, 0, 0, 0).is_full


def test_what_was_put_aside_takes_no_room() -> None:
    made = window(messages=2, size=100)
    made.take(50)
    made.put_aside(50)
    assert (made.messages, made.bytes) == (0, 0)
    assert (made.messages_free, made.bytes_free) == (2, 100)
    assert made.fits(10**6)


def test_beside_what_was_put_aside_fits_what_would_fit_if_it_took_room() -> None:
    made = window(messages=3, size=100)
    assert made.fits_beside(10**6)
    made.take(30)
    made.put_aside(30)
    made.take(20)
    assert (made.fits_beside(50), made.fits_beside(51), made.is_full_beside) == (True, False, False)
    made.take(10)
    assert (made.fits(1), made.fits_beside(1)) == (True, False)
    assert (made.is_full, made.is_full_beside) == (False, True)
    made.give_back_aside(30)
    assert (made.fits_beside(70), made.is_full_beside) == (True, False)


def test_beside_what_was_put_aside_bytes_fill_it_too() -> None:
    made = window(messages=3, size=100)
    made.take(100)
    made.put_aside(100)
    assert (made.fits_beside(0), made.is_full_beside) == (True, True)
    made.grow()
    assert (made.fits_beside(100), made.is_full_beside) == (True, False)


def test_a_window_doubles_up_to_its_most() -> None:
    made = window(messages=4, size=100, most=12, size_most=300)
    limits = []
    for _ in range(3):
        made.grow()
        limits.append((made.messages_limit, made.bytes_limit))
    assert limits == [(8, 200), (12, 300), (12, 300)]
