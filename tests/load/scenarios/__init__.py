"""The scenarios, a module for each group that shares its servers."""
