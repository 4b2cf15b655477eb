"""The reference client: what the tests and the demo talk to the server with. No Django."""

from messaging.client.client import ConstructClient
from messaging.client.faults import ClientClosed, ClientFault, ConnectionLost, RequestRefused, SessionEnded

__all__ = [
    "ClientClosed",
    "ClientFault",
    "ConnectionLost",
    "ConstructClient",
    "RequestRefused",
    "SessionEnded",
]
