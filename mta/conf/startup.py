"""What every process checks when it has read its configuration (mail_params(3))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.conf import interfaces
from mta.conf.errors import ConfError, ConfPanic
from mta.conf.loads import LOADS

if TYPE_CHECKING:
    from mta.conf.conf import Conf


def check(conf: Conf) -> None:
    """Reads the parameters of the process and checks what depends on several of them."""
    for warning in conf.main.warnings:
        conf.warn(warning)
    if conf.main.error:
        raise ConfError(conf.main.error)
    conf.load(LOADS["common"])
    conf.load(LOADS.get(conf.program, ()))


def check_unit(name: str, default: str, source: str) -> None:
    """Raises ConfPanic where the evaluated default of a time has no unit to take."""
    for index, char in enumerate(default):
        if char.isascii() and char.isalpha():
            if index + 1 != len(default):
                raise ConfPanic(f"parameter {name}: bad time unit in default value: {source}")
            return
    raise ConfPanic(f"parameter {name}: missing time unit in default value: {source}")


def compute(conf: Conf, function: str) -> str:
    """The default of a parameter that a rule computes."""
    if function == "check_myhostname":
        return myhostname(conf)
    if function == "check_mydomainname":
        return conf.myhostname.partition(".")[2] or "localdomain"
    return interfaces.mynetworks(conf, conf.mynetworks_style)


def myhostname(conf: Conf) -> str:
    """The name of the host, with ``$mydomain`` where it has no domain."""
    name = conf.host.hostname
    if "." in name:
        return name
    domain = conf.settings.get("mydomain")
    return f"{name}.{conf.expand(domain) if domain is not None else 'localdomain'}"
