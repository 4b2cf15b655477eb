"""What Construct is compared to: two small relays for the same frames, without storage and without checks.

A client says who it is by `connect`, with the user's id in place of a token.
"""
