"""Where the services of master.cf listen (master_listen.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.system import Endpoint, Inet, Unix

if TYPE_CHECKING:
    from mta.conf.master_cf import MasterEntry
    from mta.master.master import Master

#: Ports by the names that master.cf files use (services(5)).
PORTS = {
    "smtp": 25,
    "smtps": 465,
    "ssmtp": 465,
    "submissions": 465,
    "urd": 465,
    "submission": 587,
    "msa": 587,
    "qmqp": 628,
    "lmtp": 24,
    "domain": 53,
}


def port_number(name: str) -> int | None:
    """The number of a TCP port by number or name; None where it is unknown."""
    if name.isascii() and name.isdigit():
        return int(name) if int(name) < 65536 else None
    return PORTS.get(name)


def endpoints(master: Master, entry: MasterEntry) -> list[Endpoint]:
    """The endpoints of a service: the port at its addresses, or its socket in the queue directory.
    Connections of a ``pass`` service come by way of another process.
    Raises Fatal for an unknown port.
    """
    if entry.type == "pass":
        return []
    if entry.type != "inet":
        return [Unix(f"{master.conf.queue_directory}/{entry.path}")]
    number = port_number(entry.port)
    if number is None:
        host = entry.host or "0.0.0.0"
        master.log.fatal(f"{host}:{entry.port}: Servname not supported for ai_socktype")
    return [Inet(address, number) for address in entry.addresses]
