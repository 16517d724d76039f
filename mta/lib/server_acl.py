"""server_acl(3) - access lists of addresses alone, such as ``postscreen_access_list``.

A list holds ``permit_mynetworks``, tables (whose results are lists without tables), ``permit``,
``reject`` and ``dunno``; the first that has something to say decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.conf.interfaces import mynetworks
from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS
from mta.dict.registry import dict_open
from mta.lib.namadr_list import AddrMatchList
from mta.system import Wait
from mta.util.parens import split_words

if TYPE_CHECKING:
    from mta.master.server import Process

SERVER_ACL_ACT_PERMIT = "permit"
SERVER_ACL_ACT_DUNNO = "dunno"
SERVER_ACL_ACT_REJECT = "reject"
SERVER_ACL_ACT_ERROR = "error"  #: the list makes no sense, or a table failed: as good as dunno

_PERMIT_MYNETWORKS = "permit_mynetworks"


class ServerAcl:
    """The list of a parameter, with its tables open."""

    __slots__ = ("_networks", "_networks_host", "name", "process", "words")

    def __init__(self, process: Process, name: str, text: str) -> None:
        self.process = process
        self.name = name
        self.words = self._parse(name, text)
        conf = process.conf
        self._networks = AddrMatchList(process, "mynetworks", conf.mynetworks)
        self._networks_host: AddrMatchList | None = None
        if conf.warn_compat_break_mynetworks_style:
            networks = mynetworks(conf, "host")
            self._networks_host = AddrMatchList(process, "mynetworks", networks)

    def _parse(self, origin: str, text: str) -> list[str]:
        """The words of a list; ``origin`` is the parameter, or the table that it comes from."""
        words: list[str] = []
        for word in split_words(text):
            if ":" in word:
                if ":" in origin:
                    self.process.log.warning(
                        f'table {origin}: lookup result "{word}" is not allowed'
                        " -- ignoring remainder of access list"
                    )
                    return [*words, SERVER_ACL_ACT_DUNNO]
                dict_open(self.process, word, flags=ADDRESS_FLAGS, handle=word)
            words.append(word)
        return words

    def match(self, address: str) -> Wait[str]:
        """What the list says of an address: SERVER_ACL_ACT_*."""
        return (yield from self._evaluate(address, self.words, self.name))

    def _evaluate(self, address: str, words: list[str], origin: str) -> Wait[str]:
        for word in words:
            name = word.lower()
            if name in (SERVER_ACL_ACT_REJECT, SERVER_ACL_ACT_PERMIT, SERVER_ACL_ACT_DUNNO):
                return name
            if name == _PERMIT_MYNETWORKS:
                action = yield from self._own_network(address, origin, word)
            elif ":" in word:
                action = yield from self._table(address, origin, word)
            else:
                self.process.log.warning(
                    f"{origin}: unknown command: {word}"
                    " -- ignoring the remainder of this access list"
                )
                return SERVER_ACL_ACT_ERROR
            if action != SERVER_ACL_ACT_DUNNO:
                return action
        return SERVER_ACL_ACT_DUNNO

    def _own_network(self, address: str, origin: str, word: str) -> Wait[str]:
        log = self.process.log
        try:
            if not (yield from self._networks.match(address)):
                return SERVER_ACL_ACT_DUNNO
        except TableError:
            log.warning(
                f"{origin}: {word}: mynetworks lookup error"
                " -- ignoring the remainder of this access list"
            )
            return SERVER_ACL_ACT_ERROR
        host = self._networks_host
        if host is not None and not (yield from host.match(address)):
            style = self.process.conf.mynetworks_style
            log.info(
                "using backwards-compatible default setting "
                f'mynetworks_style={style} to permit request from client "{address}"'
            )
        return SERVER_ACL_ACT_PERMIT

    def _table(self, address: str, origin: str, word: str) -> Wait[str]:
        table = dict_open(self.process, word, flags=ADDRESS_FLAGS, handle=word)
        try:
            value = yield from table.lookup(address)
        except TableError:
            self.process.log.warning(
                f"{origin}: {word}: table lookup error"
                " -- ignoring the remainder of this access list"
            )
            return SERVER_ACL_ACT_ERROR
        if value is None:
            return SERVER_ACL_ACT_DUNNO
        return (yield from self._evaluate(address, self._parse(word, value), word))
