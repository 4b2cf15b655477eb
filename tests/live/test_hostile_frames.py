"""Generated frames against a live server: whatever they are, only table errors come back and the socket goes on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from construct_site.errors import ErrorCode
from messaging.protocol.codec import InvalidFrame, decode_request, encode_request
from messaging.protocol.messages import SERVER_MESSAGES, ChatMessage, Received
from tests.live.dialogue import packed, registration
from tests.live.nodes import Nodes
from tests.messaging.protocol.test_hostile_frames import chat_messages, requests, values

SETTINGS = {"CONSTRUCT_LIMITS": "off"}
OUR_FAULTS = {
    ErrorCode.SERVER_ERROR,
    ErrorCode.QUEUE_FAILED,
    ErrorCode.SEARCH_FAILED,
    ErrorCode.REGISTRATION_FAILED,
    ErrorCode.SERVER_BUSY,
}
ANSWER_S = 15.0
EXAMPLES = 120
"""Of up to eight frames each: some seconds on each backing."""
_numbers = itertools.count()


class Talk:
    """A logged-in socket. Messages to itself are let through unread; replies are matched by a last request."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        socket.send(packed("register", registration()))
        success = msgpack.unpackb(socket.recv(ANSWER_S))
        self.user_id: str = success["payload"]["userId"]

    def answers_to(self, frames: list[bytes | str]) -> list[dict[str, Any]]:
        """All replies to these frames."""
        last = f"last-{next(_numbers)}"
        for frame in frames:
            self.socket.send(frame)
        self.socket.send(packed("getPublicKey", {"userId": "nobody"}, requestId=last))
        answers: list[dict[str, Any]] = []
        while True:
            answer = msgpack.unpackb(self.socket.recv(ANSWER_S))
            assert answer["type"] in SERVER_MESSAGES
            if answer["type"] == "error" and answer["payload"].get("requestId") == last:
                assert answer["payload"]["code"] == "INVALID_USER_ID", "still logged in"
                return answers
            if answer["type"] != "message":
                answers.append(answer)


@pytest.fixture
def talk(nodes: Nodes) -> Iterator[Talk]:
    with connect(nodes.here.websocket_url, proxy=None, max_size=None) as socket:
        yield Talk(socket)


def expected_answers(frames: list[bytes | str]) -> int:
    return sum(not is_received(frame) for frame in frames)


def is_received(frame: bytes | str) -> bool:
    """The one request that is not answered."""
    if isinstance(frame, str):
        return False
    try:
        return isinstance(decode_request(frame).payload, Received)
    except InvalidFrame:
        return False


def assert_all_answered(talk: Talk, frames: list[bytes | str]) -> None:
    answers = talk.answers_to(frames)
    assert len(answers) == expected_answers(frames)
    for answer in answers:
        if answer["type"] == "error":
            assert ErrorCode(answer["payload"]["code"]) not in OUR_FAULTS, answer


@st.composite
def altered_requests(draw: st.DrawFn) -> bytes:
    """A request with one value, of the envelope or the payload, replaced by any other."""
    envelope: dict[str, Any] = msgpack.unpackb(encode_request(draw(requests)))
    target = draw(st.sampled_from([envelope, envelope["payload"]]))
    target[draw(st.sampled_from(sorted(target)))] = draw(values)
    packed_envelope: bytes = msgpack.packb(envelope)
    return packed_envelope


@st.composite
def damaged_requests(draw: st.DrawFn) -> bytes:
    frame = encode_request(draw(requests))
    position = draw(st.integers(0, len(frame) - 1))
    return frame[:position] + draw(st.binary(max_size=3)) + frame[position + draw(st.integers(0, 3)) :]


hostile = st.lists(
    st.one_of(
        requests.map(encode_request),
        altered_requests(),
        damaged_requests(),
        values.map(msgpack.packb),
        st.binary(max_size=200),
        st.text(max_size=50),
    ),
    max_size=8,
)
live = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@live
@given(frames=hostile)
def test_whatever_comes_is_answered_from_the_table(talk: Talk, frames: list[bytes | str]) -> None:
    assert_all_answered(talk, frames)


@live
@given(message=chat_messages, data=st.data())
def test_a_message_of_ones_own_with_any_one_field_changed_is_answered_from_the_table(
    talk: Talk, message: ChatMessage, data: st.DataObject
) -> None:
    envelope: dict[str, Any] = msgpack.unpackb(encode_request(message))
    envelope["payload"] |= {"from": talk.user_id, "to": talk.user_id.upper()}
    changed = data.draw(st.sampled_from([*envelope["payload"], "none"]))
    if changed != "none":
        envelope["payload"][changed] = data.draw(values)
    assert_all_answered(talk, [msgpack.packb(envelope)])


@live
@given(text=st.text(max_size=70), other=st.text(max_size=70))
def test_any_text_is_taken_or_refused_where_text_goes(talk: Talk, text: str, other: str) -> None:
    wanted = registration()
    assert_all_answered(
        talk,
        [
            packed("searchUsers", {"query": text}),
            packed("getPublicKey", {"userId": text}),
            packed("login", {"username": text, "password": other}),
            packed("register", wanted | {"username": text}),
            packed("register", wanted | {"publicKey": text}),
            packed("connect", {"sessionToken": text}),
            packed("logout", {"sessionToken": text}),
            packed("rotatePrekey", {"userId": talk.user_id, "update": text}),
            packed("received", {"messageIds": [text, other]}),
        ],
    )


@live
@given(name=st.text(min_size=1, max_size=64))
def test_any_display_name_is_taken_or_refused(talk: Talk, name: str) -> None:
    assert_all_answered(
        talk, [packed("register", registration(displayName=name)), packed("searchUsers", {"query": name})]
    )
