"""What an export of a user's data is made of. Each app declares its sections; ``messaging.export`` joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Model

from construct_site.rest.payloads import Payload


@dataclass(frozen=True, slots=True)
class Table:
    """How the rows of one model are told. Each of its columns is told, `owner` or withheld; numbers of rows apart."""

    model: type[Model]
    row: type[Payload]
    """The form of a row: what it shows are the columns that its fields name as their sources."""
    owner: str | None = None
    """The column that says whose a row is."""
    withheld: Mapping[str, str] = field(default_factory=dict)
    """Columns that are not told, with the reason; ``docs/operating.md`` gives both."""

    def told(self) -> set[str]:
        """The columns, and relations to many, that a row shows."""
        return {(shown.source or "").partition(".")[0] for shown in self.row().fields.values()}


@dataclass(frozen=True, slots=True)
class Section:
    """One key of the export."""

    name: str
    """In camelCase, as in the file."""
    form: type[Payload]
    read: Callable[[UUID], object]
    """What `form` shows of this user. It only reads, without a transaction of its own: all sections are read from
    one snapshot, and queries that it leaves in its answer are run there too."""
    tables: tuple[Table, ...]
    is_optional: bool = False
    """There may be nothing of the kind, and `read` may return None: the key is null then."""
