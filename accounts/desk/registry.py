"""What a user's page in the admin shows and offers. Each app registers its part when it is loaded.

The pages stand in :mod:`accounts.desk.pages`; what apps above accounts know of a user
(keys, the mailbox) comes from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms

from accounts.audit.actions import Action
from accounts.desk.forms import ReasonForm
from accounts.models import User


@dataclass(frozen=True, slots=True)
class Link:
    """A cell that leads to a page of the admin."""

    text: str
    address: str


Cell = str | int | bool | Link


@dataclass(frozen=True, slots=True)
class Panel:
    """A table on a user's page."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | object]]
    more: Link | None = None


@dataclass(frozen=True, slots=True)
class PanelSource:
    """Reads a panel of a user, in a fixed number of queries."""

    order: int
    permission: str
    read: Callable[[UUID, User], Panel | None]
    """Of a user, for one of the staff; None for who may not see it of this user."""


@dataclass(frozen=True, slots=True)
class UserAct:
    """Something that staff do to an account, or to several, one after the other."""

    name: str
    """Of its address: ``suspend``."""
    label: str
    explanation: str
    """What it does and to whom, above the form."""
    action: Action
    """The audit's word, by which :func:`accounts.desk.acts.why_not` judges."""
    permission: str
    perform: Callable[..., object]
    """Takes the actor, the user's id and the form's data by their names. Raises ``ConstructError``."""
    form: type[forms.Form] = ReasonForm
    is_for_many: bool = True
    """It can be done to several accounts at once."""
    suits: Callable[[User], bool] = lambda _user: True
    """Whether there is something to do: only then is it offered on the account's page."""
    gives_file: bool = False
    """`perform` returns an ``HttpResponse`` with a file; of one account."""

    def initial(self, users: Sequence[User]) -> dict[str, Any]:
        """What the form shows at first: of what is to be changed, what all these accounts have in common."""
        fields = [name for name in self.form.base_fields if hasattr(users[0], name)]
        found = {name: {getattr(user, name) for user in users} for name in fields}
        return {name: values.pop() for name, values in found.items() if len(values) == 1}


PANELS: list[PanelSource] = []
ACTS: dict[str, UserAct] = {}


def register_panel(order: int, permission: str, read: Callable[[UUID], Panel]) -> None:
    """One that all who may see it see alike."""
    register_panel_for(order, permission, lambda user_id, _viewer: read(user_id))


def register_panel_of_others(order: int, permission: str, read: Callable[[UUID], Panel]) -> None:
    """One that nobody sees of themselves (:func:`is_withheld`)."""
    register_panel_for(
        order, permission, lambda user_id, viewer: None if is_withheld(viewer, user_id) else read(user_id)
    )


def register_panel_for(order: int, permission: str, read: Callable[[UUID, User], Panel | None]) -> None:
    """One that shows each of the staff what they may see."""
    PANELS.append(PanelSource(order, permission, read))
    PANELS.sort(key=lambda source: source.order)


def is_withheld(viewer: User, user_id: UUID) -> bool:
    """Whether what staff say of this user among themselves is kept from the viewer, who is the user.

    Superusers run the server, and see all.
    """
    return viewer.pk == user_id and not viewer.is_superuser


def register_act(act: UserAct) -> None:
    ACTS[act.name] = act
