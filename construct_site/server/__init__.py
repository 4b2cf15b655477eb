"""Daphne, made fit for this protocol: pings and pongs the application sees, every legal close code, a clean end.

The application finds out by ``scope["extensions"]`` what the server can do, so
any other ASGI server works too, with the weaker rules of ``docs/delivery.md``.
Nothing here imports Daphne by itself: :mod:`.reactor` must run first.
"""
