"""``cidr:/path`` - networks and what they give (cidr_table(5), as of Postfix 3.0: no if, no !)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mta.dict.flags import DICT_FLAG_PATTERN
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, LocalDict, Owner, dict_surrogate, dict_type
from mta.dict.tablefile import open_table_file, table_lines
from mta.util.cidr_match import CidrError, cidr_parse, parse_address
from mta.util.parens import WHITESPACE


class _Rule(NamedTuple):
    order: int
    value: str
    line: int


class CidrRules(NamedTuple):
    """The rules of a text, and the warnings that it caused.

    Rules are kept by their mask (bits of the address, mask), so that a search asks once per
    different mask; the rule that stands first in the text wins.
    """

    by_mask: dict[tuple[int, int], dict[int, _Rule]]
    warnings: tuple[str, ...]


@lru_cache(maxsize=64)
def parse_cidr_table(path: str, data: bytes) -> CidrRules:
    """The rules of a table's text."""
    by_mask: dict[tuple[int, int], dict[int, _Rule]] = {}
    warnings: list[str] = []
    for order, (number, text, problem) in enumerate(table_lines(data, path)):
        if problem:
            warnings.append(problem)
            continue
        try:
            pattern, value = _split(text)
            net = cidr_parse(pattern)
        except CidrError as error:
            warnings.append(f"cidr map {path}, line {number}: {error.args[0]}: skipping this rule")
            continue
        rules = by_mask.setdefault((net.bits, net.mask), {})
        rules.setdefault(net.network, _Rule(order, value, number))
    return CidrRules(by_mask, tuple(warnings))


def _split(text: str) -> tuple[str, str]:
    end = 0
    while end < len(text) and text[end] not in WHITESPACE:
        end += 1
    value = text[end:].strip(WHITESPACE)
    if not end:
        raise CidrError("no address pattern")
    if not value:
        raise CidrError("no lookup result")
    return text[:end], value


class CidrDict(LocalDict):
    """A table of networks; keys are addresses."""

    def __init__(self, process: TableProcess, path: str, flags: int, rules: CidrRules) -> None:
        super().__init__(process, "cidr", path, flags | DICT_FLAG_PATTERN)
        self.rules = rules.by_mask

    def _rule(self, key: str) -> _Rule | None:
        address = parse_address(key)
        if address is None:
            return None
        best: _Rule | None = None
        for (bits, mask), rules in self.rules.items():
            if bits == address[0]:
                rule = rules.get(address[1] & mask)
                if rule is not None and (best is None or rule.order < best.order):
                    best = rule
        return best

    def _find(self, key: str) -> str | None:
        rule = self._rule(key)
        return None if rule is None else rule.value

    def explain(self, key: str) -> int | None:
        """The line of the rule."""
        rule = self._rule(key)
        return None if rule is None else rule.line


@dict_type("cidr", read_only=True)
def open_cidr(process: TableProcess, path: str, open_flags: int, flags: int) -> Dict:
    """Reads the rules of the file; bad ones are warned of and skipped."""
    try:
        file = open_table_file(process, path)
    except OSError as error:
        reason = f"open {path}: {error.strerror}"
        return dict_surrogate(process, "cidr", path, flags, reason)
    rules = parse_cidr_table(path, bytes(file.data))
    for warning in rules.warnings:
        process.log.warning(warning)
    table = CidrDict(process, path, flags, rules)
    table.owner = Owner.of_file(file.uid)
    return table
