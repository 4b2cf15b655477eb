"""How pages show dates: the one language of the server has a package here, as Django wants it."""
