"""The error table: complete, consistent, and worded for people."""

from __future__ import annotations

import pytest

from construct_site.errors import ERRORS, CloseCode, ConstructError, ErrorCode

CONTRACT = """
INVALID_FORMAT AUTH_REQUIRED FORBIDDEN INVALID_CREDENTIALS INVALID_TOKEN INVALID_USERNAME WEAK_PASSWORD
INVALID_DISPLAY_NAME USERNAME_TAKEN REGISTRATION_CLOSED REGISTRATION_FAILED INVITE_REQUIRED INVALID_INVITE
ACCOUNT_PENDING ACCOUNT_SUSPENDED PASSWORD_RESET_REQUIRED INVALID_KEY INVALID_KEY_BUNDLE INVALID_UPDATE
INVALID_USER_ID USER_NOT_FOUND INVALID_MESSAGE_FORMAT MESSAGE_TOO_LARGE DUPLICATE_MESSAGE MAILBOX_FULL
RATE_LIMIT_EXCEEDED RATE_LIMIT_BLOCKED USER_BLOCKED TOO_MANY_CONNECTIONS SERVER_BUSY QUEUE_FAILED SEARCH_FAILED
SERVER_ERROR NOT_FOUND METHOD_NOT_ALLOWED UNSUPPORTED_MEDIA_TYPE VALIDATION_FAILED STAFF_ONLY
"""
"""Protocol contract, section 5."""
CLOSES = {1000, 1009, 1012, 4400, 4401, 4403, 4408, 4409, 4429}
"""Protocol contract, section 5, "Close codes"."""


def test_no_code_of_the_contract_is_missing() -> None:
    assert set(CONTRACT.split()) <= {code.value for code in ErrorCode}


def test_the_close_codes_are_those_of_the_contract() -> None:
    assert {code.value for code in CloseCode} == CLOSES


def test_a_code_is_spelled_on_the_wire_as_it_is_named() -> None:
    assert all(code.value == code.name for code in ErrorCode)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_row_with_one_plain_sentence_and_a_status_of_failure(code: ErrorCode) -> None:
    row = ERRORS[code]
    assert row.text[0].isupper()
    assert row.text.endswith(".")
    assert row.text.isprintable()
    assert 400 <= row.http_status <= 599


@pytest.mark.parametrize("code", ErrorCode)
def test_only_a_refusal_that_can_pass_may_be_retried(code: ErrorCode) -> None:
    """409 and the like stay what they are; 429 and all 5xx can be over later."""
    row = ERRORS[code]
    assert row.may_retry == (row.http_status == 429 or row.http_status >= 500)


def test_a_refusal_carries_the_sentence_of_the_table() -> None:
    error = ConstructError(ErrorCode.USERNAME_TAKEN)
    assert error.code is ErrorCode.USERNAME_TAKEN
    assert error.text == ERRORS[ErrorCode.USERNAME_TAKEN].text


def test_a_refusal_carries_the_raisers_sentence_where_it_knows_more() -> None:
    assert ConstructError(ErrorCode.USER_BLOCKED, "Try again in 5 min.").text == "Try again in 5 min."


def test_a_refusal_never_has_an_empty_sentence() -> None:
    assert ConstructError(ErrorCode.USER_BLOCKED, "").text == ERRORS[ErrorCode.USER_BLOCKED].text


def test_a_refusal_that_is_logged_by_mistake_shows_its_code_alone() -> None:
    assert str(ConstructError(ErrorCode.INVALID_KEY, "about somebody")) == "INVALID_KEY"
