"""``proxy:type:name`` - a table that proxymap(8) opens on behalf of others (dict_proxy(3)).

Which tables that are say ``proxy_read_maps`` and ``proxy_write_maps``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from mta.dict.errors import DictConfigError, TableError
from mta.dict.flags import (
    DICT_FLAG_FIXED,
    DICT_FLAG_INST_MASK,
    DICT_FLAG_NO_PROXY,
    DICT_FLAG_PATTERN,
    DICT_FLAG_RQST_MASK,
    O_RDONLY,
    O_RDWR,
)
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_type, open_table
from mta.system import Gone, Wait
from mta.util.parens import split_words

PROXY = "proxy:"

PROXY_STAT_OK = 0
PROXY_STAT_NOKEY = 1
PROXY_STAT_RETRY = 2
PROXY_STAT_BAD = 3
PROXY_STAT_DENY = 4
PROXY_STAT_CONFIG = 5

#: Types whose keys are patterns, or as good as patterns.
_PATTERN_TYPES = frozenset(("regexp", "pcre", "cidr", "tcp", "socketmap", "randmap", "fail"))


class ProxyRequest(NamedTuple):
    """What proxymap(8) is asked: to open a table, or about a key of one.  ``flags`` are
    DICT_FLAG_* as at opening.
    """

    action: Literal["open", "lookup", "update", "delete"]
    table: str
    flags: int
    key: str = ""
    value: str = ""


class ProxyReply(NamedTuple):
    """PROXY_STAT_*; with PROXY_STAT_OK the value of a lookup, or the flags of an opened table."""

    status: int
    value: str = ""
    flags: int = 0


def plain_name(name: str) -> str:
    """A table's name without any ``proxy:`` in front."""
    while name.startswith(PROXY):
        name = name[len(PROXY) :]
    return name


def approved_tables(text: str) -> frozenset[str]:
    """The tables of a list such as ``proxy_read_maps``: its words that start with ``proxy:``."""
    names = (plain_name(word) for word in split_words(text) if word.startswith(PROXY))
    return frozenset(name for name in names if ":" in name)


def _match_flags(name: str) -> int:
    """Whether a table has literal keys or patterns, as its type says."""
    kind, _, table = plain_name(name).partition(":")
    if kind in ("pipemap", "unionmap"):
        words = split_words(table[1:-1])
        return _match_flags(words[0]) if words else DICT_FLAG_PATTERN
    return DICT_FLAG_PATTERN if kind in _PATTERN_TYPES else DICT_FLAG_FIXED


class ProxyDict(Dict):
    """The client side: each request goes to the service, which keeps the table open."""

    def __init__(self, process: TableProcess, name: str, flags: int, service: str) -> None:
        super().__init__(process, "proxy", name, flags | _match_flags(name))
        self.service = service
        self._instance = flags & DICT_FLAG_INST_MASK

    def _ask(
        self, action: Literal["lookup", "update", "delete"], key: str, value: str = ""
    ) -> Wait[ProxyReply]:
        request = ProxyRequest(
            action, self.table, self._instance | self.flags & DICT_FLAG_RQST_MASK, key, value
        )
        # the process is a whole one wherever a service is asked
        process: Any = self.process
        log = self.process.log
        count = 0
        while True:
            try:
                reply: ProxyReply = yield from process.call(self.service, request)
                break
            except Gone as gone:
                count += 1
                if count > 1 or gone.args[0] not in ("Broken pipe", "No such file or directory"):
                    log.warning(
                        f"dict_proxy_{action}: service private/{self.service}: {gone.args[0]}"
                    )
                yield self.process.system.sleep(1)
        if reply.status == PROXY_STAT_BAD:
            log.fatal(
                f'{self.service} {action} failed for table "{self.table}" key "{key}": '
                "invalid request"
            )
        if reply.status == PROXY_STAT_DENY:
            what = "service" if action == "lookup" else "update access"
            log.fatal(f'{self.service} {what} is not configured for table "{self.table}"')
        if reply.status == PROXY_STAT_RETRY:
            raise TableError(self.name)
        if reply.status == PROXY_STAT_CONFIG:
            raise DictConfigError(self.name)
        return reply

    def _search(self, key: str) -> Wait[str | None]:
        reply = yield from self._ask("lookup", key)
        return reply.value if reply.status == PROXY_STAT_OK else None

    def update(self, key: str, value: str) -> Wait[bool]:
        """Stores a value through proxywrite(8), in place of what is there."""
        wanted = self._key(key)
        if wanted is None:
            return True
        reply = yield from self._ask("update", wanted, value)
        return reply.status == PROXY_STAT_OK

    def delete(self, key: str) -> Wait[bool]:
        """Removes a key through proxywrite(8)."""
        wanted = self._key(key)
        if wanted is None:
            return True
        reply = yield from self._ask("delete", wanted)
        return reply.status == PROXY_STAT_OK

    def sequence(self) -> Iterator[tuple[str, str]]:
        """Not through the service, as postmap(1) says."""
        self.process.log.fatal("can't sequence maps via the proxy service")


#: Key of ``process.cache``: set by proxymap(8) itself, which opens what others ask it for.
IS_PROXYMAP = "is_proxymap"


@dict_type("proxy")
def open_proxy(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Has the service open the table.  A table that must not be proxied is opened directly.

    Raises Fatal for a table that is not approved.
    """
    if flags & DICT_FLAG_NO_PROXY:
        return open_table(process, name, open_flags, flags)
    if process.cache.get(IS_PROXYMAP):
        return open_table(process, plain_name(name), open_flags, flags)
    conf = process.conf
    writing = bool(open_flags & O_RDWR)
    if not writing and open_flags != O_RDONLY:
        process.log.fatal(f"{name}: proxy map open requires O_RDONLY or O_RDWR mode")
    service = conf.proxywrite_service_name if writing else conf.proxymap_service_name
    request = ProxyRequest("open", name, flags)
    process.system.spawn(_open_there(process, service, request), f"open {name}")
    if ":" not in plain_name(name):
        process.log.fatal(f'{service} open failed for table "{name}": invalid request')
    if plain_name(name) not in approved_tables(_approved(process, writing)):
        process.log.fatal(f'{service} service is not configured for table "{name}"')
    return ProxyDict(process, name, flags, service)


def _approved(process: TableProcess, writing: bool) -> str:
    """The list of approved tables as the service sees it, without the ``-o`` of this process."""
    conf = process.conf
    if hasattr(conf, "for_process"):
        conf = conf.for_process("proxymap")
    text: str = conf.proxy_write_maps if writing else conf.proxy_read_maps
    return text


def _open_there(process: Any, service: str, request: ProxyRequest) -> Wait[None]:
    """The service opens the table at the same time; it is asked again at the first lookup."""
    try:
        yield from process.call(service, request)
    except Gone:
        pass
