"""Account tooling over HTTP: the edge of :mod:`accounts.services`, without rules of its own."""
