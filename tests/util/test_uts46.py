"""International domain names, and what is wrong with them."""

from __future__ import annotations

import pytest

from mta.util import uts46
from mta.util.midna_domain import (
    midna_domain_to_ascii,
    midna_domain_to_utf8,
    valid_utf8_hostname,
)

#: A name, its form in ASCII, the errors on the way there.
TO_ASCII = [
    ("Example.ORG", "example.org", 0),
    ("example.org.", "example.org.", 0),
    ("\u00fc.test", "xn--tda.test", 0),
    ("stra\u00dfe.test", "strasse.test", 0),
    ("\u03b4\u03ae\u03bc\u03bf\u03c2.test", "xn--jxalzmu.test", 0),
    ("a\u00adb.test", "ab.test", 0),
    ("x\uff0etest", "x.test", 0),
    ("xn--tda.test", "xn--tda.test", 0),
    ("", "", uts46.EMPTY_LABEL),
    ("a..b", "a..b", uts46.EMPTY_LABEL),
    (".a", ".a", uts46.EMPTY_LABEL),
    ("a.\u00ad", "a.", uts46.EMPTY_LABEL),
    ("-a.test", "-a.test", uts46.LEADING_HYPHEN),
    ("-.test", "-.test", uts46.LEADING_HYPHEN | uts46.TRAILING_HYPHEN),
    ("ab--c.test", "ab--c.test", uts46.HYPHEN_3_4),
    ("a" * 64, "a" * 64, uts46.LABEL_TOO_LONG),
    (".".join(["a" * 63] * 4), ".".join(["a" * 63] * 4), uts46.DOMAIN_NAME_TOO_LONG),
    ("\u0600.test", "\ufffd.test", uts46.DISALLOWED),
    ("\u0301a.test", "\u0301a.test", uts46.LEADING_COMBINING_MARK),
    ("xn--.test", "xn--\ufffd.test", uts46.INVALID_ACE_LABEL),
    ("xn--a-.test", "xn--a-\ufffd.test", uts46.INVALID_ACE_LABEL),
    ("xn---.test", "xn---\ufffd.test", uts46.PUNYCODE),
    ("xn--123456.test", "xn--123456\ufffd.test", uts46.PUNYCODE),
]


@pytest.mark.parametrize(("name", "result", "errors"), TO_ASCII)
def test_names_in_ascii(name: str, result: str, errors: int) -> None:
    assert uts46.uts46(name, True) == (result, errors)


@pytest.mark.parametrize(
    ("name", "result", "errors"),
    [
        ("xn--tda.test", "\u00fc.test", 0),
        ("XN--TDA.TEST", "\u00fc.test", 0),
        ("a" * 64, "a" * 64, 0),
        ("xn--zca.test", "\u00df.test", 0),
        ("\u1e9e.test", "ss.test", 0),
        ("-\u00fc.test", "-\u00fc.test", uts46.LEADING_HYPHEN),
    ],
)
def test_names_in_unicode(name: str, result: str, errors: int) -> None:
    assert uts46.uts46(name, False) == (result, errors)


PROBLEM = 'midna_domain_to_{}_create: Problem translating domain "{}" to {} form: {}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("-\u00fc.test", "U_INDEX_OUTOFBOUNDS_ERROR"),
        ("\u00fc..test", "U_ILLEGAL_ARGUMENT_ERROR"),
        ("\u00fc." + "a" * 64, "U_MISSING_RESOURCE_ERROR"),
        ("\u0600.test", "[BOGUS UErrorCode]"),
        ("\u00fc_\u00fc.te st", "malformed ASCII label(s)"),
        ("\udcff.test", "malformed UTF-8"),
    ],
)
def test_a_name_without_ascii_form_is_warned_of(name: str, text: str) -> None:
    warnings: list[str] = []
    assert midna_domain_to_ascii(name, warnings.append) is None
    assert warnings == [PROBLEM.format("ascii", name, "ASCII", text)]
    assert not valid_utf8_hostname(True, name)


def test_a_name_in_utf8_must_have_an_ascii_form_too() -> None:
    warnings: list[str] = []
    long = "a" * 64
    assert midna_domain_to_utf8(long, warnings.append) is None
    assert warnings == [PROBLEM.format("ascii", long, "ASCII", "U_MISSING_RESOURCE_ERROR")]
    assert midna_domain_to_utf8("xn--tda.test", warnings.append) == "\u00fc.test"
    assert len(warnings) == 1
