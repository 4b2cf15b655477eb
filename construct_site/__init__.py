"""Wiring, configuration and the words that all apps share; no business rules."""
