"""``ldap:/path`` - directories (ldap_table(5)).

The server is one that the world supplies (:mod:`mta.dict.backends`) under its URL, as in
``ldap://host:port``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

from mta.dict.backends import BackendError, LdapEntry, LdapSearch, LdapServer, find_server
from mta.dict.cfg_parser import CfgParser
from mta.dict.db_common import DbCommon
from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FIXED
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_surrogate, dict_type
from mta.system import Wait
from mta.util.casefold import valid_utf8
from mta.wire.text import to_bytes, to_text

_OK = 0
_NO_SUCH_OBJECT = 32
_SERVER_DOWN = -1

#: ldap_err2string(3).
LDAP_ERRORS = {
    -1: "Can't contact LDAP server",
    -5: "Timed out",
    1: "Operations error",
    2: "Protocol error",
    3: "Time limit exceeded",
    4: "Size limit exceeded",
    8: "Strong(er) authentication required",
    32: "No such object",
    34: "Invalid DN syntax",
    48: "Inappropriate authentication",
    49: "Invalid credentials",
    50: "Insufficient access",
    51: "Server is busy",
    52: "Server is unavailable",
    53: "Server is unwilling to perform",
    80: "Other (e.g., implementation specific) error",
}

_COMMA_SPACE = re.compile(r"[, \t\r\n]+")
_SPECIAL = re.compile(rb"[*()\\]")
_URL = re.compile(r"(?:url:)?ldaps?://", re.IGNORECASE)
_SCOPES = {"": "base", "base": "base", "one": "one", "sub": "sub"}

#: Settings of the connection that make no difference here: what they ask for is never done.
_IGNORED = (
    "sasl_mechs", "sasl_realm", "sasl_authz_id", "sasl_minssf", "tls_ca_cert_dir",
    "tls_ca_cert_file", "tls_cert", "tls_key", "tls_require_cert", "tls_random_file",
    "tls_cipher_suite",
)  # fmt: skip


def quote_filter(text: str) -> str:
    """A piece of a key for a search filter (RFC 2254)."""
    return to_text(_SPECIAL.sub(lambda found: b"\\%02X" % found[0][0], to_bytes(text)))


def error_code(error: BackendError) -> int:
    """The number of an LDAP error."""
    return int(error.args[1]) if len(error.args) > 1 else _SERVER_DOWN


def error_text(code: int) -> str:
    """The text of an LDAP error."""
    return LDAP_ERRORS.get(code, f"Unknown error {code}")


@dataclass(slots=True)
class _Expansion:
    """One lookup: the key, what has been found, how deep we are."""

    key: str
    results: list[str] = field(default_factory=list)
    depth: int = 0


class LdapDict(Dict):
    """A table that is a search."""

    def __init__(self, process: TableProcess, name: str, flags: int, parser: CfgParser) -> None:
        super().__init__(process, "ldap", name, flags | DICT_FLAG_FIXED)
        self.owner = parser.owner
        self._server: LdapServer | None = None
        self._read_servers(parser)
        self._read_search(parser)
        self._read_attributes(parser)
        self._read_limits(parser)

    # -- configuration

    def _warn(self, text: str) -> None:
        self.process.log.warning(f"dict_ldap_open: {self.table}{text}")

    def _read_servers(self, parser: CfgParser) -> None:
        hosts = parser.text("server_host", "localhost", min=1)
        port = parser.number("server_port", 389)
        self.version = parser.number("version", 2, min=2)
        if self.version not in (2, 3):
            self._warn(f" Unknown version {self.version}, using 2.")
            self.version = 2
        urls = []
        for host in filter(None, _COMMA_SPACE.split(hosts)):
            scheme = host.partition("://")[0].lower()
            if "://" in host:
                if scheme != "ldap" and self.version != 3:
                    self.process.log.warning(
                        f"dict_ldap_open: URL scheme {scheme} requires protocol version 3"
                    )
                    self.version = 3
                urls.append(host)
            else:
                urls.append(f"ldap://{host}" if ":" in host else f"ldap://{host}:{port}")
        self.servers = urls
        bind = parser.text("bind", "yes", min=1)
        if bind.lower() not in ("yes", "no", "none", "simple", "sasl"):
            self.process.log.fatal(f"{parser.name}: unsupported parameter value: bind = {bind}")
        self.bind = bind.lower() in ("yes", "simple", "sasl")
        self.bind_dn = parser.text("bind_dn")
        self.bind_pw = parser.text("bind_pw")
        if parser.switch("start_tls", False) and self.version < 3:
            self._warn(" start_tls requires protocol version 3")
            self.version = 3
        if bind.lower() == "sasl" or any(parser.optional(setting) for setting in _IGNORED):
            self._warn(": not implemented: SASL and TLS settings")

    def _read_search(self, parser: CfgParser) -> None:
        scope = parser.text("scope", "sub", min=1)
        if scope.lower() not in ("one", "base", "sub"):
            self._warn(f": Unrecognized value {scope} specified for scope; using sub")
            scope = "sub"
        self.scope = scope.lower()
        self.search_base = parser.text("search_base")
        self.timeout = parser.number("timeout", 10)
        self.query = parser.text("query_filter", "(mailacceptinggeneralid=%s)")
        self.result_format = parser.optional("result_format") or parser.text(
            "result_filter", "%s", min=1
        )
        self.common = DbCommon(self.process, "ldap", self.table)
        self.dynamic_base = self.common.parse(self.search_base, True)
        if not self.common.parse(self.query, True):
            self._warn(f": Fixed query_filter {self.query} is probably useless")
        self.common.parse(self.result_format, False)
        self.common.parse_domain(parser)

    def _read_attributes(self, parser: CfgParser) -> None:
        """Four lists, in the order in which they count."""

        def words(name: str, default: str = "") -> list[str]:
            return [word for word in _COMMA_SPACE.split(parser.text(name, default)) if word]

        self.terminal = words("terminal_result_attribute")
        self.leaf = words("leaf_result_attribute")
        self.regular = words("result_attribute", "maildrop")
        self.special = words("special_result_attribute")
        self.attributes = self.terminal + self.leaf + self.regular + self.special

    def _read_limits(self, parser: CfgParser) -> None:
        if parser.switch("cache", False):
            self._warn(" ignoring cache")
        for name in ("cache_expiry", "cache_size"):
            if parser.number(name, -1) >= 0:
                self._warn(f" ignoring {name}")
        self.recursion_limit = parser.number("recursion_limit", 1000, min=1)
        self.expansion_limit = parser.number("expansion_limit", 0)
        self.size_limit = parser.number("size_limit", self.expansion_limit)
        dereference = parser.number("dereference", 0)
        if not 0 <= dereference <= 3:
            self._warn(f" Unrecognized value {dereference} specified for dereference; using 0")
        parser.switch("chase_referrals", False)
        parser.number("debuglevel", 0)

    # -- the server

    def _connected(self) -> Wait[LdapServer]:
        if self._server is None:
            self._server = yield from self._connect()
        return self._server

    def _connect(self) -> Wait[LdapServer]:
        server = find_server(self.process, *self.servers)
        code = _SERVER_DOWN
        if server is not None:
            found = cast(LdapServer, server)
            if not self.bind:
                return found
            try:
                yield from found.bind(self.bind_dn, self.bind_pw)
                return found
            except BackendError as error:
                code = error_code(error)
        if self.bind:
            self.process.log.warning(
                f"dict_ldap_connect: Unable to bind to server {' '.join(self.servers)} with dn "
                f"{self.bind_dn or 'empty or implicit'}: {code} ({error_text(code)})"
            )
        else:
            self._search_error(code)
        raise TableError(self.name)

    def _search_error(self, code: int) -> None:
        self.process.log.warning(f"dict_ldap_lookup: Search error {code}: {error_text(code)} ")

    def _ask(self, search: LdapSearch) -> Wait[Sequence[LdapEntry]]:
        """The entries; a lost connection is made anew, once.  Raises BackendError, TableError."""
        server = yield from self._connected()
        try:
            return (yield from server.search(search))
        except BackendError as error:
            if error_code(error) != _SERVER_DOWN:
                raise
        self._server = None
        server = yield from self._connected()
        return (yield from server.search(search))

    # -- a lookup

    def _search(self, key: str) -> Wait[str | None]:
        if not self.utf8 and not valid_utf8(key):
            return None
        if not (yield from self.common.check_domain(key)):
            return None
        yield from self._connected()
        base = self.search_base
        if base:
            expanded = self.common.expand_query(base, key, _quote_dn)
            if expanded is None:
                return None
            base = expanded
        query = self.common.expand_query(self.query, key, quote_filter)
        if query is None:
            return None
        search = LdapSearch(base, self.scope, query, self.attributes, self.size_limit)
        try:
            entries = yield from self._ask(search)
        except BackendError as error:
            self._no_entries(base, error_code(error))
            return None
        expansion = _Expansion(key)
        yield from self._values(entries, expansion)
        return ",".join(expansion.results) or None

    def _no_entries(self, base: str, code: int) -> None:
        if code == _NO_SUCH_OBJECT:
            if self.dynamic_base:
                return
            self.process.log.warning(
                f"dict_ldap_lookup: {self.table}: Search base '{base}' not found: "
                f"{code}: {error_text(code)}"
            )
        else:
            self._search_error(code)
            self._server = None
        raise TableError(self.name)

    def _complain(self, expansion: _Expansion, text: str) -> None:
        self.process.log.warning(f"dict_ldap_get_values[{expansion.depth}]: {text}")

    def _values(self, entries: Sequence[LdapEntry], expansion: _Expansion) -> Wait[None]:
        """Adds the values of entries; those of special attributes name other entries."""
        expansion.depth += 1
        terminal = False
        leaf_entry = True
        for count, entry in enumerate(entries, 1):
            if 0 < self.size_limit < count:
                self._complain(
                    expansion, f"{self.table}: Query size limit ({self.size_limit}) exceeded"
                )
                raise TableError(self.name)
            has = {name.lower() for name, values in entry.attributes.items() if values}
            terminal = terminal or any(name.lower() in has for name in self.terminal)
            if not terminal and self.leaf:
                if any(name.lower() in has for name in self.special):
                    leaf_entry = False
            for name, values in entry.attributes.items():
                if values:
                    yield from self._attribute(name, values, expansion, terminal, leaf_entry)
        expansion.depth -= 1

    def _attribute(
        self,
        name: str,
        values: Sequence[str],
        expansion: _Expansion,
        terminal: bool,
        leaf_entry: bool,
    ) -> Wait[None]:
        place = next(
            (i for i, wanted in enumerate(self.attributes) if _is_subtype(wanted, name)),
            len(self.attributes),
        )
        first_leaf = len(self.terminal)
        first_regular = first_leaf + len(self.leaf)
        first_special = first_regular + len(self.regular)
        if place < first_special or terminal:
            skipped = place >= first_leaf if terminal else False
            if not leaf_entry and place < first_regular:
                skipped = True
            if not skipped:
                self._add(values, expansion)
        elif place < len(self.attributes):
            if expansion.depth >= self.recursion_limit:
                self._complain(
                    expansion,
                    f"{self.table}: Recursion limit exceeded"
                    f" for special attribute {name}={values[0]}",
                )
                raise TableError(self.name)
            for value in values:
                yield from self._follow(value, expansion)

    def _add(self, values: Sequence[str], expansion: _Expansion) -> None:
        for value in values:
            result = self.common.expand_result(self.result_format, value, expansion.key)
            if result is None:
                continue
            expansion.results.append(result)
            if 0 < self.expansion_limit < len(expansion.results):
                self._complain(
                    expansion,
                    f"{self.table}: Expansion limit exceeded for key: '{expansion.key}'",
                )
                raise TableError(self.name)

    def _follow(self, value: str, expansion: _Expansion) -> Wait[None]:
        """The entries that a DN or an LDAP URL names."""
        if _URL.match(value):
            search = self._from_url(value)
        else:
            search = LdapSearch(value, "base", "objectclass=*", self.attributes, self.size_limit)
        if search is None:
            return
        try:
            entries = yield from self._ask(search)
        except BackendError as error:
            code = error_code(error)
            if code == _NO_SUCH_OBJECT:
                self._complain(expansion, f"DN {value} not found, skipping ")
                return
            self._complain(expansion, f"search error {code}: {error_text(code)} ")
            raise TableError(self.name) from error
        yield from self._values(entries, expansion)

    def _from_url(self, url: str) -> LdapSearch | None:
        """The search of an LDAP URL (RFC 4516); None where it asks for none of our attributes."""
        _, _, rest = url.partition("://")
        _, _, rest = rest.partition("/")
        dn, attributes, scope, query, *_ = [*map(unquote, rest.split("?")), "", "", "", ""]
        wanted = [name for name in attributes.split(",") if name]
        if wanted:
            ours = [a for a in self.attributes if any(_is_subtype(w, a) for w in wanted)]
            ours += [w for w in wanted if any(_is_subtype(a, w) for a in self.attributes)]
            ours = list(dict.fromkeys(ours))
        else:
            ours = self.attributes
        if not ours:
            return None
        kind = _SCOPES.get(scope.lower(), "base")
        return LdapSearch(dn, kind, query or "(objectClass=*)", ours, self.size_limit)


def _is_subtype(wanted: str, name: str) -> bool:
    """Whether an attribute is the wanted one, perhaps with options (``mail;lang-en``)."""
    one, two = wanted.lower(), name.lower()
    return two == one or two.startswith(one + ";")


_DN_SPECIAL = re.compile(r'[ \t"#+,;<>\\]')


def _quote_dn(text: str) -> str:
    """A piece of a key for a DN (RFC 2253)."""
    return _DN_SPECIAL.sub(lambda found: f"\\{ord(found[0]):02X}", text)


@dict_type("ldap", read_only=True)
def open_ldap(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Reads the configuration; the first lookup makes the connection."""
    try:
        parser = CfgParser(process, name)
    except OSError as error:
        return dict_surrogate(process, "ldap", name, flags, f"open {name}: {error.strerror}")
    return LdapDict(process, name, flags, parser)
