"""Daphne's WebSocket protocol with the parts it keeps to itself.

ASGI events beyond the specification, announced as the scope's extension
``websocket.ping``:

* application → server ``{"type": "websocket.ping", "payload": bytes}``, at most
  125 bytes; sent in order with the frames around it;
* server → application ``{"type": "websocket.pong", "payload": bytes}``.
"""

from __future__ import annotations

from typing import Any

from daphne.ws_protocol import WebSocketProtocol

PING_EXTENSION = "websocket.ping"


class ConstructWebSocketProtocol(WebSocketProtocol):  # type: ignore[misc] # daphne carries no types
    """One connection."""

    # Autobahn composes a coloured debug line for every read and write, whether debugging or not
    # (a fifth of the time of both); these two do the same without it.

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self._dataReceived(data)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802 - autobahn's
        if sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.transport.write(data)

    def onPong(self, payload: bytes) -> None:  # noqa: N802 - autobahn's name
        if not self.muted and hasattr(self, "application_queue"):
            self.application_queue.put_nowait({"type": "websocket.pong", "payload": payload})

    def handle_reply(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "websocket.ping", "payload": payload}:
                self.sendPing(payload)
            case {"type": "websocket.close", "code": int(code)} if self.state != self.STATE_CONNECTING:
                # sendClose() takes only 1000 and 3000 to 4999; RFC 6455 section 7.4 allows 1012 as well.
                # Once a close is under way sendCloseFrame() does nothing.
                self.sendCloseFrame(code=code)
            case {"type": "websocket.send"} if self.state in (self.STATE_CLOSING, self.STATE_CLOSED):
                # An ordinary race, for which autobahn raises. Daphne drops what comes after the end.
                pass
            case _:
                super().handle_reply(message)

    def check_timeouts(self) -> None:
        """Daphne's own pings stay off: the hub pings, and its pongs mean something."""
        if self.state == self.STATE_CONNECTING:
            super().check_timeouts()

    def close_for_restart(self, code: int) -> None:
        """Tell the client that the server goes away and that it may come back."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=code)
