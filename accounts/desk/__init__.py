"""The staff's desk: what staff do, and the pages where they do it."""
