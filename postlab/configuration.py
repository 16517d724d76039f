"""The configuration files of the mail system under test, as scenario format 1 describes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from postlab.model import Mta, Scenario

if TYPE_CHECKING:
    from postlab.folder import ConfigFolder

CONFIG_DIRECTORY = "/etc/postfix"
MAIL_SPOOL = "/var/mail"

#: An SQL script may take so many steps of so much work.
_MOST_WORK, _WORK = 5000, 10_000

#: ``main.cf`` before the scenario's own.
_BASE = {
    "compatibility_level": "2",
    "myhostname": "{hostname}",
    "mydestination": "$myhostname, localhost.$mydomain, localhost",
    "inet_protocols": "ipv4",
    "alias_maps": "",
    "alias_database": "",
    "smtp_tls_security_level": "",
    "smtpd_tls_security_level": "",
}

#: The services of the stock ``master.cf`` of 3.0: nothing chrooted, postscreen and submission off.
#: Columns: name, type, private, unprivileged, chroot, wake-up, process limit, command.
_STOCK = """\
smtp       inet n - n -     - smtpd
pickup     unix n - n 60    1 pickup
cleanup    unix n - n -     0 cleanup
qmgr       unix n - n 300   1 qmgr
tlsmgr     unix - - n 1000? 1 tlsmgr
rewrite    unix - - n -     - trivial-rewrite
bounce     unix - - n -     0 bounce
defer      unix - - n -     0 bounce
trace      unix - - n -     0 bounce
verify     unix - - n -     1 verify
flush      unix n - n 1000? 0 flush
proxymap   unix - - n -     - proxymap
proxywrite unix - - n -     1 proxymap
smtp       unix - - n -     - smtp
relay      unix - - n -     - smtp
showq      unix n - n -     - showq
error      unix - - n -     - error
retry      unix - - n -     - error
discard    unix - - n -     - discard
local      unix - n n -     - local
virtual    unix - n n -     - virtual
lmtp       unix - - n -     - lmtp
anvil      unix - - n -     1 anvil
scache     unix - - n -     1 scache
"""


def stock_master_cf() -> str:
    """The stock ``master.cf``."""
    return _STOCK


def logical_lines(text: str) -> list[str]:
    """The lines of ``main.cf`` or ``master.cf`` with their continuations, without comments."""
    lines: list[str] = []
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and lines:
            lines[-1] += "\n" + line
        else:
            lines.append(line)
    return lines


def main_cf(mta: Mta) -> str:
    """The whole ``main.cf``: base settings that the scenario leaves alone, then its own text.

    The scenario's text stays as it is, comments and all, since warnings tell its line numbers; a
    base setting that it overrides is left out, since Postfix warns of settings that come twice.
    """
    own = {line.partition("=")[0].strip() for line in logical_lines(mta.main_cf)}
    base = [
        f"{name} = {value.format(hostname=mta.hostname)}".rstrip()
        for name, value in _BASE.items()
        if name not in own
    ]
    return "\n".join(base) + "\n" + mta.main_cf.rstrip("\n") + "\n"


def master_cf(mta: Mta) -> str:
    """The whole ``master.cf``: the stock one with the scenario's entries in it (by name, type)."""
    entries = {
        tuple(line.split()[:2]): line
        for line in (*logical_lines(_STOCK), *logical_lines(mta.master_cf))
    }
    return "\n".join(entries.values()) + "\n"


def files(
    scenario: Scenario, config: ConfigFolder | None = None
) -> Iterator[tuple[str, bytes, str]]:
    """(absolute path, content, owner's name) of each file that the scenario brings; with a folder,
    its files in place of ``main.cf`` and ``master.cf``.
    """
    if config is not None:
        yield from ((path, data, "root") for path, data in config.mounts())
        if not config.has_master_cf:
            yield f"{CONFIG_DIRECTORY}/master.cf", _bytes(_STOCK), "root"
    else:
        yield f"{CONFIG_DIRECTORY}/main.cf", _bytes(main_cf(scenario.mta)), "root"
        yield f"{CONFIG_DIRECTORY}/master.cf", _bytes(master_cf(scenario.mta)), "root"
    for name, text in scenario.mta.files.items():
        path = file_path(name)
        if name.startswith("~"):
            yield path, _bytes(text), name[1:].partition("/")[0]
            continue
        yield path, _bytes(text), "root"
        if path.endswith(".sql"):
            yield f"{path[:-4]}.db", database(text), "root"


def file_path(name: str) -> str:
    """The absolute path of a file that a scenario brings."""
    if name.startswith("~"):
        return f"/home/{name[1:]}"
    return name if name.startswith("/") else f"{CONFIG_DIRECTORY}/{name}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def database(script: str) -> bytes:
    """The sqlite database that a script makes.  Raises sqlite3.Error, also where the script wants
    files, or takes for ever.
    """
    import sqlite3

    def may(action: int, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK

    left = itertools.count(_MOST_WORK, -1)
    connection = sqlite3.connect(":memory:")
    try:
        connection.set_authorizer(may)
        connection.set_progress_handler(lambda: int(next(left) <= 0), _WORK)
        connection.executescript(script)
        return connection.serialize()
    finally:
        connection.close()
