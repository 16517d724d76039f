"""What a configuration needs to know of the host: its name, addresses and accounts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mta.system import Accounts, Files, Interface, System
from mta.wire.text import to_text

HOSTS = "/etc/hosts"


@dataclass(frozen=True, slots=True)
class Host:
    """The facts.

    ``resolve`` gives the addresses of a host name from the local hosts file; beside it only
    ``localhost`` and the host's own name have addresses (the name service is not asked).  Without
    ``accounts`` all users and groups are taken to exist.
    """

    hostname: str
    interfaces: Sequence[Interface] = (Interface("127.0.0.1", 8), Interface("::1", 128))
    accounts: Accounts | None = None
    resolve: Callable[[str], Sequence[str]] | None = None

    @classmethod
    def of(cls, system: System) -> Host:
        """The facts of a machine."""
        return cls(
            system.hostname,
            tuple(system.network.interfaces()),
            system.accounts,
            lambda name: hosts_file(system.files, name),
        )

    def addresses(self, name: str) -> list[str]:
        """The addresses of a host name, or of a numeric address itself."""
        found = [] if self.resolve is None else list(self.resolve(name))
        if found:
            return found
        loopback = [i.address for i in self.interfaces if is_loopback(i.address)]
        if name.lower() == "localhost":
            return loopback
        if name.lower() == self.hostname.lower():
            others = [i.address for i in self.interfaces if not is_loopback(i.address)]
            return others or loopback
        return []


def hosts_file(files: Files, name: str) -> list[str]:
    """The addresses of a name in ``/etc/hosts``."""
    if not files.exists(HOSTS):
        return []
    found = []
    for line in to_text(files.read(HOSTS)).splitlines():
        words = line.partition("#")[0].split()
        if name.lower() in (word.lower() for word in words[1:]):
            found.append(words[0])
    return found


def is_loopback(address: str) -> bool:
    """Whether an address is one of the loopback interface."""
    return address.startswith("127.") or address == "::1"
