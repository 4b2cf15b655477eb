"""The wire of the Construct WebSocket API v2.0: bytes in, typed values out. No Django, no clock, no I/O."""
