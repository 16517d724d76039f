"""Names in certificates: which are those of whom we want."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.tls.match import NameMatcher

NAMES = [
    (["nexthop"], "d.test", True),
    (["nexthop"], "D.TEST", True),
    (["nexthop"], "mx.d.test", False),
    (["hostname"], "mx.d.test", True),
    (["hostname"], "d.test", False),
    (["dot-nexthop"], "mx.d.test", True),
    (["dot-nexthop"], "a.b.d.test", True),
    (["dot-nexthop"], "d.test", False),
    (["dot-nexthop"], "xd.test", False),
    (["nexthop", "dot-nexthop"], "d.test", True),
    (["other.test"], "other.test", True),
    (["other.test"], "d.test", False),
    ([".other.test"], "a.other.test", True),
    ([".other.test"], "other.test", False),
    (["."], "anything", False),
    (["hostname"], "*.d.test", True),
    (["hostname"], "*.test", True),  # as many labels as there are
    (["hostname"], "*.", False),
    (["hostname"], "*", False),
    (["hostname"], "m*.d.test", False),
    (["hostname"], "*x.d.test", False),
    (["nexthop"], "*.test", True),
    (["dot-nexthop"], "*.d.test", True),  # a name below it
    (["bücher.test"], "xn--bcher-kva.test", True),
    (["bücher.test"], "bücher.test", False),  # names in certificates are ASCII
    (["\u3002bücher.test"], "mx.xn--bcher-kva.test", True),
]


def matcher(patterns: list[str], multi: bool = True) -> NameMatcher:
    return NameMatcher(patterns, "d.test", "mx.d.test", multi, lambda text: None)


@pytest.mark.parametrize(("patterns", "name", "good"), NAMES)
def test_which_names_match(patterns: list[str], name: str, good: bool) -> None:
    assert matcher(patterns)(name) == good


def test_a_wildcard_may_stand_for_one_label_only() -> None:
    one = matcher(["hostname"], multi=False)
    assert one("*.d.test") and not one("*.test")


@given(st.text("ab.*-", max_size=12), st.text("ab.-", max_size=12))
def test_a_name_matches_itself_and_nothing_shorter(name: str, wanted: str) -> None:
    exact = NameMatcher([wanted or "x"], "n", "h", True, lambda text: None)
    if exact(name) and not name.startswith("*") and not wanted.startswith("."):
        assert name == wanted
