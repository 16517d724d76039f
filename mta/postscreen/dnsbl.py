"""How the lists of ``postscreen_dnsbl_sites`` rank a client (postscreen_dnsbl.c).

Each list is asked by way of dnsblog(8), all at the same time.  Sessions of one address share the
answer as long as one of them needs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_DUP_WARN
from mta.dict.htable import htable_order
from mta.dict.registry import dict_open
from mta.lib.dnsblog import DnsblogRequest
from mta.system import Gone, Wait
from mta.util.ip_match import IpMatchError, IpPattern, ip_match_parse
from mta.util.scalars import split_at_commas
from mta.util.valid_hostname import valid_hostname

if TYPE_CHECKING:
    from mta.master.server import Process

_WEIGHT = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)\Z")


class Filter(NamedTuple):
    """What answers of a list count, and how much; a pattern of None takes them all."""

    pattern: IpPattern | None
    weight: int


class Score:
    """What is known of an address."""

    __slots__ = ("listeners", "name", "pending", "total", "users", "weight")

    def __init__(self) -> None:
        self.total = 0
        self.name: str | None = None  #: the list that weighs most
        self.weight = 0
        self.pending = 0
        self.users = 0
        self.listeners: list[Callable[[], None]] = []


class Ranking:
    """The lists, and the scores that are in use."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.sites: dict[str, list[Filter]] = {}
        self.scores: dict[str, Score] = {}
        self._public: dict[str, str] = {}
        for site in split_at_commas(process.conf.postscreen_dnsbl_sites):
            self._add(site)
        self._order = htable_order(self.sites)
        spec = process.conf.postscreen_dnsbl_reply_map
        self._names = dict_open(process, spec, flags=DICT_FLAG_DUP_WARN) if spec else None

    def _add(self, site: str) -> None:
        """``domain=pattern*weight``.  Mistakes are fatal."""
        fatal = self.process.log.fatal
        rest, star, number = site.partition("*")
        weight = 1
        if star:
            found = _WEIGHT.match(number)
            if found is None:
                fatal(f'bad DNSBL weight factor "{number}" in "{site}"')
            weight = int(found[1])
        domain, equals, text = rest.partition("=")
        pattern = None
        if equals:
            try:
                pattern = ip_match_parse(text)
            except IpMatchError as error:
                fatal(f"bad DNSBL filter syntax: {error.args[0]}")
        verdict = valid_hostname(domain)
        if not verdict:
            self.process.log.warning(verdict.reason)
            fatal(f'bad DNSBL domain name "{domain}" in "{site}"')
        self.sites.setdefault(domain, []).insert(0, Filter(pattern, weight))

    def learn_names(self) -> Wait[None]:
        """Looks up what clients are told in place of the lists' names."""
        table = self._names
        if table is None or self._public:
            return
        for domain in self.sites:
            try:
                name = yield from table.lookup(domain)
            except TableError:
                self.process.log.fatal(f"{table.name} lookup error")
            self._public[domain] = domain if name is None else name

    def request(self, address: str, listener: Callable[[], None]) -> Score:
        """Begins to rank an address.  The listener is called when all lists have answered, if they
        do.
        """
        score = self.scores.get(address)
        if score is None:
            score = self.scores[address] = Score()
            for domain in self._order:
                score.pending += 1
                self.process.system.spawn(self._ask(score, domain, address), f"dnsbl {address}")
        elif not score.pending:
            self.process.system.after(0, listener)
        score.users += 1
        score.listeners.append(listener)
        return score

    def retrieve(
        self, address: str, score: Score, listener: Callable[[], None]
    ) -> tuple[int, str | None]:
        """The score so far, and the list to blame; who asked needs no more of it."""
        score.listeners = [each for each in score.listeners if each is not listener]
        score.users -= 1
        if not score.users and self.scores.get(address) is score:
            del self.scores[address]
        return score.total, score.name

    def _ask(self, score: Score, domain: str, address: str) -> Wait[None]:
        process = self.process
        service = process.conf.dnsblog_service_name
        limit = process.conf.postscreen_dnsbl_timeout
        timed_out: list[bool] = []

        def give_up() -> None:
            timed_out.append(True)
            process.log.warning(f"dnsblog reply timeout {limit}s for {domain}")

        timer = process.system.after(limit, give_up)
        try:
            found: list[str] = yield from process.call(service, DnsblogRequest(domain, address))
        except Gone as gone:
            where = f"private/{service}"
            process.log.warning(f"psc_dnsbl_request: connect to {where} service: {gone.args[0]}")
            return
        finally:
            timer.cancel()
        if timed_out or self.scores.get(address) is not score:
            return
        self._count(score, domain, found)
        score.pending -= 1
        if not score.pending:
            for listener in list(score.listeners):
                listener()

    def _count(self, score: Score, domain: str, found: list[str]) -> None:
        for pattern, weight in self.sites[domain] if found else ():
            if pattern is None or any(pattern.matches(address) for address in found):
                if score.name is None or score.weight < weight:
                    score.name = self._public.get(domain, domain)
                    score.weight = weight
                score.total += weight
