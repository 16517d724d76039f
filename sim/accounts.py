"""The accounts of a machine: passwd(5) and group(5)."""

from __future__ import annotations

from collections.abc import Iterable

from mta.system import Account

#: Numbers of the system's own accounts and groups; those that a package adds are as on a Debian
#: system where it was the first.
ROOT = Account("root", 0, 0, "root", "/root", "/bin/sh")
NOBODY = Account("nobody", 65534, 65534, "nobody", "/", "/bin/false")
POSTFIX = Account("postfix", 102, 105, "", "/var/spool/postfix", "/bin/false")
GROUPS = {"root": 0, "daemon": 1, "mail": 8, "postfix": 105, "postdrop": 106, "nogroup": 65534}

#: The number of the first user.
FIRST_USER = 1001


class AccountTable:
    """passwd(5) and group(5); a :class:`mta.system.Accounts`.

    Each user has a group of the same name and number, and a home ``/home/NAME``.
    """

    def __init__(self, users: Iterable[str] = ()) -> None:
        self._by_name: dict[str, Account] = {}
        self._by_uid: dict[int, Account] = {}
        self._groups = dict(GROUPS)
        self._next_uid = FIRST_USER
        for account in (ROOT, NOBODY, POSTFIX):
            self.add(account)
        for user in users:
            self.add_user(user)

    def add(self, account: Account) -> Account:
        """Adds an account.  Raises ValueError where the name is taken."""
        if account.name in self._by_name:
            raise ValueError(f"there is an account {account.name} already")
        self._by_name[account.name] = account
        self._by_uid.setdefault(account.uid, account)
        return account

    def add_group(self, name: str, number: int) -> None:
        """Adds a group, or gives it another number."""
        self._groups[name] = number

    def add_user(self, name: str) -> Account:
        """Adds a user with the next number."""
        number = self._next_uid
        self._next_uid += 1
        gecos = name.capitalize()
        account = Account(name, number, number, gecos, f"/home/{name}", "/bin/sh")
        self.add_group(name, number)
        return self.add(account)

    @property
    def accounts(self) -> list[Account]:
        """All accounts in the order in which they were added."""
        return list(self._by_name.values())

    def by_name(self, name: str) -> Account | None:
        """getpwnam(3)."""
        return self._by_name.get(name)

    def by_uid(self, uid: int) -> Account | None:
        """getpwuid(3)."""
        return self._by_uid.get(uid)

    def group(self, name: str) -> int | None:
        """getgrnam(3): the group's number."""
        return self._groups.get(name)
