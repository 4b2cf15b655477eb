"""Registration and keys over HTTP: the edge of :mod:`keys.services`, without rules of its own."""
