"""``$name`` in parameters of local(8): ``forward_path``, ``luser_relay`` and others."""

from __future__ import annotations

from typing import NamedTuple

from mta.local.state import State, UserAttr
from mta.util.mac_expand import MacError, mac_expand


class LocalExpansion(NamedTuple):
    """The text; whether it is of no use (a syntax error), whether a name had no value, and whether
    the address extension is part of it.
    """

    text: str
    error: bool
    undefined: bool
    has_extension: bool


def local_expand(
    state: State, user: UserAttr, text: str, allowed: str | None = None
) -> LocalExpansion:
    """Expands a text.  Of values only ``allowed`` characters stay, others become ``_``."""
    used: list[str] = []

    def test(name: str) -> str | None:
        return _lookup(state, user, name)

    def use(name: str) -> str | None:
        used.append(name)
        return _lookup(state, user, name)

    try:
        result = mac_expand(text, use, filter=allowed, test=test)
    except MacError as error:
        for warning in error.warnings:
            state.process.log.warning(warning)
        so_far = str(error.args[2]) if len(error.args) > 2 else ""
        return LocalExpansion(so_far, True, False, "extension" in used)
    return LocalExpansion(result.text, False, result.undefined, "extension" in used)


def _lookup(state: State, user: UserAttr, name: str) -> str | None:
    match name:
        case "user":
            return state.user
        case "home":
            return user.home
        case "shell":
            return user.shell
        case "domain":
            return state.domain
        case "local" | "mailbox":
            return state.local
        case "recipient":
            return state.rcpt.address
        case "extension":
            return state.extension
        case "recipient_delimiter":
            return state.local[len(state.user) :][:1] or None
    return None
