"""What tables in databases have in common (db_common(3)): templates with ``%s`` and the like, and
the ``domain`` list that keeps keys of other domains out.
"""

from __future__ import annotations

from collections.abc import Callable

from mta.dict.cfg_parser import CfgParser
from mta.dict.process import TableProcess
from mta.lib.string_list import StringList
from mta.system import Wait

_KEY_DOMAIN = 1
_KEY_USER = 2
_VALUE_DOMAIN = 4
_VALUE_USER = 8

#: What a letter of a query template needs; of a result template only %u and %d differ.
_QUERY_NEEDS = {
    "%": 0, "s": 0, "S": 0, "u": _KEY_USER, "d": _KEY_DOMAIN, "U": _KEY_USER, "D": _KEY_DOMAIN,
    **dict.fromkeys("123456789", _KEY_DOMAIN),
}  # fmt: skip
_RESULT_NEEDS = {**_QUERY_NEEDS, "u": _VALUE_USER, "d": _VALUE_DOMAIN}

#: Quotes a piece of a key for the query language.
Quote = Callable[[str], str]


def _plain(text: str) -> str:
    return text


class DbCommon:
    """The templates of one table.  ``kind`` and ``name`` are the table's, for the log."""

    def __init__(self, process: TableProcess, kind: str, name: str) -> None:
        self.process = process
        self.kind = kind
        self.name = name
        self.needs = 0
        self.parts = 0
        self.domain: StringList | None = None

    def parse(self, template: str, query: bool) -> bool:
        """Takes note of what a template needs; returns whether it has something to fill in.
        Raises Fatal for an unknown ``%`` letter.
        """
        needs = _QUERY_NEEDS if query else _RESULT_NEEDS
        dynamic = False
        letters = iter(template)
        for char in letters:
            if char != "%":
                continue
            letter = next(letters, "")
            if letter not in needs:
                what = "query" if query else "result"
                self.process.log.fatal(
                    f"db_common_parse: {self.name}: Invalid {what} template: {template}"
                )
            self.needs |= needs[letter]
            if letter.isdigit():
                self.parts = max(self.parts, int(letter))
            dynamic |= letter != "%"
        return dynamic

    def parse_domain(self, parser: CfgParser) -> None:
        """Reads the setting ``domain``."""
        domains = parser.text("domain")
        if domains:
            self.domain = StringList(self.process, parser.name, domains)

    def check_domain(self, key: str) -> Wait[bool]:
        """Whether the key is to be asked for.  Raises TableError."""
        if self.domain is None:
            return True
        user, _, domain = key.rpartition("@")
        if not user or not domain:
            return False
        return (yield from self.domain.match(domain))

    def expand_query(self, template: str, key: str, quote: Quote = _plain) -> str | None:
        """The query for a key; None where the key lacks what the template asks for."""
        if not key:
            self.process.log.warning(
                f'table "{self.kind}:{self.name}": empty query string -- ignored'
            )
            return None
        user, domain = _split(key)
        if _lacks(self.needs, _KEY_USER, _KEY_DOMAIN, user, domain):
            return None
        labels = self._labels(domain)
        if labels is None:
            return None
        whole_user = key if domain is None else user
        values = {
            "%": "%",
            "s": quote(key), "S": quote(key),
            "u": quote(whole_user), "U": quote(whole_user),
            "d": quote(domain or ""), "D": quote(domain or ""),
            **{str(index): quote(label) for index, label in enumerate(labels, 1)},
        }  # fmt: skip
        return _fill(template, values)

    def expand_result(self, template: str, value: str | None, key: str) -> str | None:
        """What the template makes of a result; None where it is not to be used."""
        if value is None:
            return None
        if not value:
            self.process.log.warning(
                f'table "{self.kind}:{self.name}": empty lookup result for: "{key}" -- ignored'
            )
            return None
        user, domain = _split(value)
        if _lacks(self.needs, _VALUE_USER, _VALUE_DOMAIN, user, domain):
            return None
        key_user, key_domain = _split(key)
        if _lacks(self.needs, _KEY_USER, _KEY_DOMAIN, key_user, key_domain):
            self.process.log.warning(
                f"db_common_expand: {self.name}: lookup key '{value}' skipped after query"
            )
            return None
        labels = self._labels(key_domain)
        if labels is None:
            return None
        values = {
            "%": "%",
            "s": value, "S": key,
            "u": value if domain is None else user,
            "U": key if key_domain is None else key_user,
            "d": domain or "", "D": key_domain or "",
            **{str(index): label for index, label in enumerate(labels, 1)},
        }  # fmt: skip
        return _fill(template, values)

    def _labels(self, domain: str | None) -> list[str] | None:
        """The labels of the key's domain that ``%1``, ``%2``, … stand for, the last one first; None
        where there are not enough of them.
        """
        if not self.parts:
            return []
        labels = [label for label in (domain or "").split(".") if label]
        if len(labels) < self.parts:
            return None
        return labels[::-1][: self.parts]


def _split(text: str) -> tuple[str, str | None]:
    """What is before the last ``@``, and the domain; None where there is no ``@``."""
    user, ratsign, domain = text.rpartition("@")
    return (user, domain) if ratsign else (text, None)


def _lacks(needs: int, user_bit: int, domain_bit: int, user: str, domain: str | None) -> bool:
    """Whether an address lacks what is needed of it."""
    if not needs & (user_bit | domain_bit):
        return False
    no_domain = not domain and bool(needs & domain_bit)
    no_user = domain is not None and not user and bool(needs & user_bit)
    return no_domain or no_user


def _fill(template: str, values: dict[str, str]) -> str:
    pieces = []
    letters = iter(template)
    for char in letters:
        pieces.append(values[next(letters)] if char == "%" else char)
    return "".join(pieces)


def build_query(parser: CfgParser) -> str:
    """The query of a table that has the old settings ``select_field``, ``table``, ``where_field``,
    ``additional_conditions`` in place of ``query``.  Raises Fatal where one is missing.
    """
    table, select_field, where_field = (
        parser.text(name, min=1) for name in ("table", "select_field", "where_field")
    )
    conditions = parser.text("additional_conditions")
    return f"SELECT {select_field} FROM {table} WHERE {where_field}='%s' {conditions}"
