"""The socket that is listened on: bound here, or inherited from whoever started this process."""

from __future__ import annotations

import socket

BACKLOG = 2048
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class CannotServe(Exception):
    """The address cannot be listened on, or the application failed to start."""


def bind(host: str, port: int, named_by: str = "HOST and PORT") -> socket.socket:
    """A socket that listens on `host` and `port`; 0 lets the system choose one.

    Raises :class:`CannotServe`, with the variables that the address is `named_by`.
    """
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket.getaddrinfo(host, port, listener.family, listener.type)[0][4])
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotServe(f"{named_by} cannot be listened on: {error.strerror}") from None
    return listener


def inherited(fd: int) -> socket.socket:
    """The socket behind a file descriptor. Raises :class:`CannotServe` unless it listens on TCP."""
    try:
        listener = socket.socket(fileno=fd)
    except (OSError, ValueError):
        raise CannotServe(f"--fd {fd} is no socket.") from None
    is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not is_listening or listener.family not in _FAMILIES or listener.type != socket.SOCK_STREAM:
        listener.close()
        raise CannotServe(f"--fd {fd} is no listening TCP socket.")
    return listener
