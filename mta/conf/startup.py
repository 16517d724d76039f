"""What every process does when it has read its configuration (mail_params(3)).

The steps stand in Postfix's order, since the first thing that is wrong ends the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mta.conf import interfaces
from mta.conf.errors import ConfError
from mta.conf.loads import LOADS
from mta.util.casefold import same_text
from mta.util.scalars import COMMA_SPACE
from mta.util.valid_hostname import valid_hostname

if TYPE_CHECKING:
    from mta.conf.conf import Conf

_FACILITIES = frozenset(
    ("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "security")
    + ("syslog", "user", "uucp", *(f"local{number}" for number in range(8)))
)


def check(conf: Conf) -> None:
    """Reads the parameters of the process and checks what depends on several of them.

    Raises ConfError.
    """
    for warning in conf.main.warnings:
        conf.warn(warning)
    if conf.main.error:
        raise ConfError(conf.main.error)
    for names, step in _STEPS:
        conf.load(names)
        step(conf)
    conf.load(LOADS.get(conf.program, ()))


def _complaint(conf: Conf, what: str, text: str) -> ConfError:
    """A fatal error that names the file and the parameter (or parameters)."""
    return ConfError(f"file {conf.config_directory}/main.cf: {what}: {text}")


def _syslog_facility(conf: Conf) -> None:
    if conf.syslog_facility not in _FACILITIES:
        raise _complaint(
            conf, "parameter syslog_facility", f"unrecognized value: {conf.syslog_facility}"
        )


def _protocols(conf: Conf) -> None:
    _ = conf.protocols


def _hostnames(conf: Conf) -> None:
    for name, value in (("myhostname", conf.myhostname), ("mydomain", conf.mydomain)):
        verdict = valid_hostname(value)
        if not verdict:
            conf.warn(verdict.reason)
            raise _complaint(conf, f"parameter {name}", f"bad parameter value: {value}")


def _users(conf: Conf) -> None:
    """``default_privs``, ``mail_owner`` and ``setgid_group`` exist and are not the same."""
    accounts = conf.host.accounts
    if accounts is None:
        return
    ids = {}
    for name, value in (("default_privs", conf.default_privs), ("mail_owner", conf.mail_owner)):
        account = accounts.by_name(value)
        what = f"parameter {name}"
        if account is None:
            raise _complaint(conf, what, f"unknown user name value: {value}")
        if account.uid == 0:
            raise _complaint(conf, what, f"user {value} has privileged user ID")
        if account.gid == 0:
            raise _complaint(conf, what, f"user {value} has privileged group ID")
        ids[name] = account
    owner = ids["mail_owner"]
    other = accounts.by_uid(owner.uid)
    if other is not None and other.name != conf.mail_owner:
        raise _complaint(
            conf,
            "parameter mail_owner",
            f"user {conf.mail_owner} has same user ID as {other.name}",
        )
    group = accounts.group(conf.setgid_group)
    if group is None:
        raise _complaint(conf, "parameter setgid_group", f"unknown group name: {conf.setgid_group}")
    if group == 0:
        raise _complaint(
            conf, "parameter setgid_group", f"group {conf.setgid_group} has privileged group ID"
        )
    _overlap(conf, ids["default_privs"].uid, ids["default_privs"].gid, owner.uid, owner.gid, group)


def _overlap(conf: Conf, uid: int, gid: int, owner_uid: int, owner_gid: int, group: int) -> None:
    """No two of the users and groups are the same."""
    privs, owner, sgid = conf.default_privs, conf.mail_owner, conf.setgid_group
    users = "parameters default_privs and mail_owner"
    if privs == owner:
        raise ConfError(
            f"file {conf.config_directory}/main.cf: {users} specify the same user {privs}"
        )
    for kind, one, two in (("user", uid, owner_uid), ("group", gid, owner_gid)):
        if one == two:
            raise _complaint(
                conf, users, f"users {privs} and {owner} have the same {kind} ID: {one}"
            )
    for name, user, number in (
        ("default_privs", privs, gid),
        ("mail_owner", owner, owner_gid),
    ):
        if number == group:
            raise _complaint(
                conf,
                f"parameters {name} and setgid_group",
                f"user {user} and group {sgid} have the same group ID: {number}",
            )


def _last(conf: Conf) -> None:
    """The addresses of the host, and values that contradict each other."""
    _ = conf.own_interfaces
    if same_text(conf.myhostname, conf.relayhost):
        raise ConfError(
            "myhostname and relayhost parameter settings must not be identical: " + conf.myhostname
        )
    for name, value in (("myorigin", conf.myorigin), ("relayhost", conf.relayhost)):
        if any(char in COMMA_SPACE for char in value):
            raise ConfError(f"{name} parameter setting must not contain multiple values: {value}")
    delimiters = conf.default_verp_delimiters
    for index, order in enumerate(("first", "second")):
        if delimiters[index] not in conf.verp_delimiter_filter:
            raise _complaint(
                conf,
                "parameters default_verp_delimiters and verp_delimiter_filter",
                f"bad {order} VERP delimiter character",
            )


def _nothing(conf: Conf) -> None:
    """No check."""


def _until(
    *checks: tuple[str, Callable[[Conf], None]],
) -> list[tuple[tuple[str, ...], Callable[[Conf], None]]]:
    """The parameters that all programs load, cut after each that a check waits for."""
    steps: list[tuple[tuple[str, ...], Callable[[Conf], None]]] = []
    names = LOADS["common"]
    start = 0
    for name, step in checks:
        end = names.index(name) + 1
        steps.append((names[start:end], step))
        start = end
    return [*steps, (names[start:], _nothing)]


_STEPS = _until(
    ("multi_instance_name", _syslog_facility),
    ("smtputf8_enable", _protocols),
    ("mydomain", _hostnames),
    ("in_flow_delay", _users),
    ("mynetworks", _last),
)


def compute(conf: Conf, function: str) -> str:
    """The default of a parameter that a rule computes."""
    if function == "check_myhostname":
        return _myhostname(conf)
    if function == "check_mydomainname":
        _, dot, domain = conf.myhostname.partition(".")
        return domain if dot else "localdomain"
    return interfaces.mynetworks(conf, conf.mynetworks_style)


def _myhostname(conf: Conf) -> str:
    """The name of the host, with ``mydomain`` (where that is set) when it has no domain."""
    name = conf.host.hostname
    if "." in name:
        return name
    domain = conf.settings.get("mydomain")
    return f"{name}.{'localdomain' if domain is None else conf.expand_at('myhostname', domain)}"
