"""How much may be unconfirmed on one connection. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Window:
    """Bounds what was handed to a connection and is not confirmed: it doubles while the client keeps confirming.

    One message always fits an empty window, whatever its size.

    What was put aside is unconfirmed too, and takes no room. Only for a message that has to
    fit beside it, it counts as if it were in the window.
    """

    messages_limit: int
    bytes_limit: int
    messages_most: int
    bytes_most: int
    messages: int = 0
    bytes: int = 0
    messages_aside: int = 0
    bytes_aside: int = 0

    def fits(self, size: int) -> bool:
        """Whether one more message of `size` bytes may be handed."""
        return self.messages == 0 or (
            self.messages < self.messages_limit and self.bytes + size <= self.bytes_limit
        )

    def fits_beside(self, size: int) -> bool:
        """Whether one more message of `size` bytes would fit if what was put aside took room."""
        messages, taken = self.messages + self.messages_aside, self.bytes + self.bytes_aside
        return messages == 0 or (messages < self.messages_limit and taken + size <= self.bytes_limit)

    @property
    def is_full_beside(self) -> bool:
        """Whether it would be full if what was put aside took room."""
        messages, taken = self.messages + self.messages_aside, self.bytes + self.bytes_aside
        return messages > 0 and (messages >= self.messages_limit or taken >= self.bytes_limit)

    @property
    def messages_free(self) -> int:
        return max(0, self.messages_limit - self.messages)

    @property
    def bytes_free(self) -> int:
        return max(0, self.bytes_limit - self.bytes)

    @property
    def is_full(self) -> bool:
        return self.messages > 0 and (self.messages_free == 0 or self.bytes_free == 0)

    def take(self, size: int) -> None:
        self.messages += 1
        self.bytes += size

    def give_back(self, size: int) -> None:
        self.messages -= 1
        self.bytes -= size

    def put_aside(self, size: int) -> None:
        """One that was taken takes no room any more."""
        self.give_back(size)
        self.messages_aside += 1
        self.bytes_aside += size

    def give_back_aside(self, size: int) -> None:
        self.messages_aside -= 1
        self.bytes_aside -= size

    def grow(self) -> None:
        self.messages_limit = min(2 * self.messages_limit, self.messages_most)
        self.bytes_limit = min(2 * self.bytes_limit, self.bytes_most)
