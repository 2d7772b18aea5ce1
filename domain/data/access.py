"""Who may do what in the namespace: owner, group and VO, as on any file system. Nobody reaches another VO."""

from typing import NamedTuple

from domain.errors import Code, Refused

MANAGERS = frozenset({"DataManager", "FileCatalogManagement", "Operator", "ServiceAdministrator"})
READ, WRITE, ENTER = 4, 2, 1
USUAL_MODE = 0o775
COMMON_MODE = 0o777  # of a VO's own directory: every member may begin something there
VERBS = {READ: "read", WRITE: "write in", ENTER: "enter"}


class Asker(NamedTuple):
    """Who asks, as far as rights on data go."""

    subject: str
    group: str
    rights: frozenset[str] = frozenset()

    @property
    def manages(self) -> bool:
        """Whether all data of the VO are in this one's care."""
        return bool(self.rights & MANAGERS)


class Guarded(NamedTuple):
    """What a directory or file says about who may do what."""

    path: str
    owner: str
    group: str
    mode: int = USUAL_MODE


def may(who: Asker, thing: Guarded, bit: int) -> bool:
    """Whether somebody may."""
    if who.manages:
        return True
    shift = 6 if who.subject == thing.owner else 3 if who.group == thing.group else 0
    return bool(thing.mode >> shift & bit)


def check(who: Asker, thing: Guarded, bit: int) -> None:
    """Let somebody, or not.

    Raises:
        Refused: DATA_FORBIDDEN.
    """
    if not may(who, thing, bit):
        raise Refused(Code.DATA_FORBIDDEN, verb=VERBS[bit], path=thing.path)


def check_owner(who: Asker, thing: Guarded, verb: str) -> None:
    """Only the owner and who manages data.

    Raises:
        Refused: DATA_FORBIDDEN.
    """
    if not (who.manages or who.subject == thing.owner):
        raise Refused(Code.DATA_FORBIDDEN, verb=verb, path=thing.path)
