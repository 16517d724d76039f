"""How TLS is to be done with a server: levels, policy tables, DANE (smtp_tls_policy).

The level is that of ``smtp_tls_security_level`` (or of ``smtp_enforce_tls`` and ``smtp_use_tls``),
unless a table knows the next hop: ``smtp_tls_policy_maps``, whose entries have attributes, or the
older ``smtp_tls_per_site``, which is also asked for the server's name.

Policies are remembered as long as the process lives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS
from mta.dns_lookup import RES_DEFNAMES, RES_DNSRCH
from mta.lib.maps import Maps
from mta.system import Wait
from mta.tls.dane import Dane, dane_support, load_trustfile
from mta.tls.levels import (
    TLS_LEV_DANE,
    TLS_LEV_ENCRYPT,
    TLS_LEV_FPRINT,
    TLS_LEV_INVALID,
    TLS_LEV_MAY,
    TLS_LEV_NONE,
    TLS_LEV_NOTFOUND,
    TLS_LEV_SECURE,
    TLS_LEV_VERIFY,
    dane_based,
    str_tls_level,
    tls_level,
)
from mta.util.midna_domain import valid_utf8_hostname
from mta.util.parens import ParenError, split_nameval
from mta.util.scalars import COMMA_SPACE, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from mta.smtp.client import Client
    from mta.smtp.state import State

_CACHE_SIZE = 20
_SMTP_HOST_FLAG_DNS = 1 << 0
_SMTP_DNS_DNSSEC = 2
_NEXTHOP = "next-hop destination"


@dataclass(slots=True)
class TlsPolicy:
    """What applies to one server (SMTP_TLS_POLICY).  ``status`` and ``reason`` tell why the level
    is TLS_LEV_INVALID.
    """

    level: int
    protocols: str | None = None
    grade: str | None = None
    exclusions: str | None = None
    match: list[str] | None = None
    dane: Dane | None = None
    status: str = ""
    reason: str = ""

    def invalid(self, status: str = "4.7.5", reason: str = "") -> None:
        """There can be no policy; without a reason, since the configuration is wrong."""
        self.level = TLS_LEV_INVALID
        self.status, self.reason = status, reason or "client TLS configuration problem"


#: No TLS at all: for connections that were kept, and for the second try after TLS has failed.
NO_TLS = TlsPolicy(TLS_LEV_NONE)


class _Invalid(Exception):
    """An entry of a policy table cannot be used; that has been logged."""


@dataclass(slots=True)
class TlsPolicies:
    """The policies of one process."""

    client: Client
    level: int  #: that of main.cf
    policy_maps: Maps | None = None
    per_site: Maps | None = None

    def open_tables(self) -> None:
        """Opens the tables (smtp_tls_list_init)."""
        client, conf = self.client, self.client.conf
        maps, sites = client.name("smtp_tls_policy_maps"), client.name("smtp_tls_per_site")
        if conf.smtp_tls_policy_maps:
            self.policy_maps = Maps(client.process, maps, conf.smtp_tls_policy_maps, ADDRESS_FLAGS)
            if conf.smtp_tls_per_site:
                client.log.warning(f"{sites} ignored when {maps} is not empty.")
        elif conf.smtp_tls_per_site:
            self.per_site = Maps(client.process, sites, conf.smtp_tls_per_site, ADDRESS_FLAGS)

    def query(self, state: State) -> Wait[TlsPolicy]:
        """The policy for the server at hand; a copy, which the attempt may change."""
        key = (state.dest, state.host, state.port)
        cache = state.tls_policies
        policy: TlsPolicy | None = cache.get(key)
        if policy is None:
            policy = cache[key] = yield from _Maker(self, state).make()
            if len(cache) > _CACHE_SIZE:
                cache.popitem(last=False)
            self._decide(state, policy)
        cache.move_to_end(key)
        return replace(policy)

    def _decide(self, state: State, policy: TlsPolicy) -> None:
        process = self.client.process
        if process.system.decisions is not None:
            process.decide(
                "tls policy",
                nexthop=state.dest,
                host=state.host,
                level=str_tls_level(policy.level),
                reason=policy.reason,
            )


class _Maker:
    """Works out one policy (policy_create)."""

    __slots__ = ("_client", "_conf", "_log", "_policies", "_policy", "_site", "_state")

    def __init__(self, policies: TlsPolicies, state: State) -> None:
        self._policies = policies
        self._client = policies.client
        self._conf = policies.client.conf
        self._log = policies.client.log
        self._state = state
        self._policy = TlsPolicy(policies.level)
        self._site = TLS_LEV_NOTFOUND  #: the level that a table gives

    def make(self) -> Wait[TlsPolicy]:
        """The policy."""
        policy, policies = self._policy, self._policies
        if policies.policy_maps is not None:
            yield from self._look_up(policies.policy_maps)
        elif policies.per_site is not None:
            yield from self._look_up_sites(policies.per_site)
        if self._site != TLS_LEV_NOTFOUND:
            policy.level = self._site
        if dane_based(policy.level):
            yield from self._dane()
        if policy.level > TLS_LEV_NONE:
            self._set_protocols()
            self._set_ciphers()
            self._set_match()
        return policy

    # -- smtp_tls_per_site --------------------------------------------------------------------

    def _look_up_sites(self, maps: Maps) -> Wait[None]:
        dest, host = self._state.dest, self._state.host
        yield from self._site_level(maps, dest, _NEXTHOP)
        if self._site != TLS_LEV_INVALID and dest.lower() != host.lower():
            yield from self._site_level(maps, host, "server hostname")
        if self._site == TLS_LEV_MAY and self._policy.level > TLS_LEV_MAY:
            self._site = self._policy.level

    def _site_level(self, maps: Maps, name: str, what: str) -> Wait[None]:
        try:
            found = yield from maps.find(name)
        except TableError:
            self._log.warning(f'{maps.title}: {what} "{name}": per-site table lookup error')
            self._policy.invalid("4.3.0", "Temporary lookup error")
            self._site = TLS_LEV_INVALID
            return
        if found is None:
            return
        word = found.upper()
        if word == "NONE":
            if self._site <= TLS_LEV_MAY:
                self._site = TLS_LEV_NONE
        elif word == "MAY":
            if self._site < TLS_LEV_NONE:
                self._site = TLS_LEV_MAY
        elif word in ("MUST_NOPEERMATCH", "MUST"):
            level = TLS_LEV_VERIFY if word == "MUST" else TLS_LEV_ENCRYPT
            self._site = max(self._site, level)
        else:
            self._log.warning(f"{maps.title}: unknown TLS policy '{found}' for {what} {name}")
            self._policy.invalid()
            self._site = TLS_LEV_INVALID

    # -- smtp_tls_policy_maps -----------------------------------------------------------------

    def _look_up(self, maps: Maps) -> Wait[None]:
        """The entry for the next hop, or for a parent domain (``.example.com``)."""
        name = self._state.dest
        yield from self._entry(maps, name)
        if not valid_utf8_hostname(bool(self._conf.smtputf8_enable), name):
            return
        while self._site == TLS_LEV_NOTFOUND:
            dot = name.find(".", 1)
            if dot < 0:
                return
            name = name[dot:]
            yield from self._entry(maps, name)

    def _entry(self, maps: Maps, name: str) -> Wait[None]:
        where = f'{maps.title}, {_NEXTHOP} "{name}"'
        try:
            found = yield from maps.find(name)
            if found is not None:
                self._parse(found, where)
        except TableError:
            self._log.warning(f"{where}: policy table lookup error")
        except _Invalid:
            pass
        else:
            return
        self._policy.invalid()
        self._site = TLS_LEV_INVALID

    def _refuse(self, text: str) -> None:
        """Raises _Invalid."""
        self._log.warning(text)
        raise _Invalid

    def _parse(self, text: str, where: str) -> None:
        """Level and attributes of an entry.  Raises _Invalid."""
        words = split(text)
        if not words:
            self._refuse(f"{where}: invalid empty policy")
        level = self._site = tls_level(words[0])
        if level == TLS_LEV_INVALID:
            self._refuse(f'{where}: invalid security level "{words[0]}"')
        for word in words[1:]:
            if level < TLS_LEV_MAY:
                self._log.warning(f'{where}: ignoring attribute "{word}" with TLS disabled')
                continue
            try:
                name, value = split_nameval(word)
            except ParenError as error:
                self._refuse(f'{where}: malformed attribute/value pair "{word}": {error.args[0]}')
            take = _ATTRIBUTES.get(name.lower())
            if take is None:
                self._refuse(f'{where}: invalid attribute name: "{name}"')
            else:
                take(self, name, value, where)

    def _not_empty(self, name: str, value: str, where: str) -> None:
        if not value:
            self._refuse(f'{where}: attribute "{name}" has empty value')

    def _once(self, before: str | None, name: str, where: str) -> None:
        if before is not None:
            self._refuse(f'{where}: attribute "{name}" is specified multiple times')

    def _not_at_level(self, name: str, where: str) -> None:
        self._refuse(
            f'{where}: attribute "{name}" invalid at security level "{str_tls_level(self._site)}"'
        )

    def _take_ciphers(self, name: str, value: str, where: str) -> None:
        self._not_empty(name, value, where)
        self._once(self._policy.grade, name, where)
        self._policy.grade = value

    def _take_protocols(self, name: str, value: str, where: str) -> None:
        self._once(self._policy.protocols, name, where)
        self._policy.protocols = value

    def _take_exclude(self, name: str, value: str, where: str) -> None:
        self._once(self._policy.exclusions, name, where)
        self._policy.exclusions = value

    def _take_match(self, name: str, value: str, where: str) -> None:
        self._not_empty(name, value, where)
        if self._site == TLS_LEV_FPRINT:
            digest = self._conf.smtp_tls_fingerprint_digest
            self._own_dane().add_ee_digests(digest, value, "|")
        elif self._site in (TLS_LEV_VERIFY, TLS_LEV_SECURE):
            self._policy.match = [*(self._policy.match or ()), *split(value, ":")]
        else:
            self._not_at_level(name, where)

    def _take_tafile(self, name: str, value: str, where: str) -> None:
        if self._site < TLS_LEV_VERIFY:
            self._not_at_level(name, where)
        self._not_empty(name, value, where)
        if not load_trustfile(self._client.process, self._own_dane(), value):
            raise _Invalid

    def _own_dane(self) -> Dane:
        dane = self._policy.dane
        if dane is None:
            dane = self._policy.dane = Dane()
        return dane

    # -- what main.cf adds --------------------------------------------------------------------

    def _set_protocols(self) -> None:
        policy, conf = self._policy, self._conf
        if policy.protocols is None:
            policy.protocols = (
                conf.smtp_tls_protocols
                if policy.level == TLS_LEV_MAY
                else conf.smtp_tls_mandatory_protocols
            )

    def _set_ciphers(self) -> None:
        """Grade and exclusions (set_cipher_grade)."""
        policy, conf = self._policy, self._conf
        also, mandatory = "", ""
        grade = conf.smtp_tls_ciphers
        if policy.level > TLS_LEV_MAY:
            grade, mandatory = (
                conf.smtp_tls_mandatory_ciphers,
                (conf.smtp_tls_mandatory_exclude_ciphers),
            )
            also = "eNULL" if policy.level == TLS_LEV_ENCRYPT else "aNULL"
        if policy.grade is None:
            policy.grade = grade
        parts = (
            [conf.smtp_tls_exclude_ciphers, mandatory]
            if policy.exclusions is None
            else [policy.exclusions]
        )
        policy.exclusions = " ".join(part for part in (*parts, also) if part)

    def _set_match(self) -> None:
        """Fingerprints, names and trust anchors where no table has them."""
        policy, conf = self._policy, self._conf
        if policy.level == TLS_LEV_FPRINT:
            dane = self._own_dane()
            if not dane.ee:
                dane.add_ee_digests(
                    conf.smtp_tls_fingerprint_digest,
                    conf.smtp_tls_fingerprint_cert_match,
                    COMMA_SPACE,
                )
            if not dane.ee:
                self._log.warning(
                    f"nexthop domain {self._state.dest}: configured at fingerprint security level, "
                    "but with no fingerprints to match."
                )
                policy.invalid()
        elif policy.level in (TLS_LEV_VERIFY, TLS_LEV_SECURE):
            if policy.match is None:
                names = (
                    conf.smtp_tls_verify_cert_match
                    if policy.level == TLS_LEV_VERIFY
                    else conf.smtp_tls_secure_cert_match
                )
                policy.match = split(names, COMMA_SPACE + ":")
            if conf.smtp_tls_trust_anchor_file:
                self._trust_anchors(conf.smtp_tls_trust_anchor_file)

    def _trust_anchors(self, files: str) -> None:
        dane = self._own_dane()
        if dane.ta:
            return
        names = split(files)
        process = self._client.process
        if not names or not all(load_trustfile(process, dane, name) for name in names):
            self._policy.invalid()

    # -- DANE ---------------------------------------------------------------------------------

    def _dane(self) -> Wait[None]:
        """Looks for TLSA records; without any the level becomes another (dane_init)."""
        policy, state = self._policy, self._state
        if not state.port:
            self._log.warning(
                f'{state.dest}: the "dane" security level is invalid for delivery via unix-domain '
                "sockets"
            )
            policy.invalid()
            return
        problem = self._dane_problem()
        if problem:
            self._log.warning(f"{state.dest}: {problem}")
            if policy.level == TLS_LEV_DANE:
                policy.level = TLS_LEV_MAY
            else:
                policy.invalid()
            return
        if state.mx is not None and not state.mx.dnssec_valid:
            self._no_dane(TLS_LEV_MAY, "non DNSSEC destination")
            return
        assert state.rr is not None
        conf = self._conf
        force = bool(conf.smtp_tls_force_insecure_host_tlsa_lookup)
        support = dane_support(self._client.process)
        dane = yield from support.resolve(state.port, state.rr, force)
        if dane is None:
            policy.invalid("4.7.5", f"TLSA lookup error for {state.host}:{state.port}")
        elif dane.missing:
            self._no_dane(TLS_LEV_MAY, "no TLSA records found")
        elif dane.unusable:
            self._no_dane(TLS_LEV_ENCRYPT, "TLSA records unusable")
        else:
            policy.dane = dane
            if dane.ta:
                policy.match = [dane.base_domain]
                if state.mx is not None:
                    names = (state.mx.rname, state.mx.qname)
                    policy.match += dict.fromkeys(names)

    def _dane_problem(self) -> str:
        """What in our own configuration is against DANE."""
        client, level = self._client, str_tls_level(self._policy.level)
        if not dane_support(client.process).available:
            return f"{level} configured, but no requisite library support"
        if not client.host_lookup & _SMTP_HOST_FLAG_DNS or client.dns_support != _SMTP_DNS_DNSSEC:
            return f"{level} configured with dnssec lookups disabled"
        if client.smtp_mode and self._conf.ignore_mx_lookup_error:
            return f"{level} configured with MX lookup errors ignored"
        if client.dns_options & (RES_DEFNAMES | RES_DNSRCH):
            return f"dns resolver options incompatible with {level} TLS"
        return ""

    def _no_dane(self, level: int, reason: str) -> None:
        """The destination has no DANE (dane_incompat)."""
        if self._policy.level == TLS_LEV_DANE:
            self._policy.level = level
        else:
            self._policy.invalid("4.7.5", reason)


_ATTRIBUTES: dict[str, Callable[[_Maker, str, str, str], None]] = {
    "ciphers": _Maker._take_ciphers,
    "protocols": _Maker._take_protocols,
    "match": _Maker._take_match,
    "exclude": _Maker._take_exclude,
    "tafile": _Maker._take_tafile,
}
