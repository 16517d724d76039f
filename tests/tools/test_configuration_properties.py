"""What holds for all configurations."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.conf.conf import PARAMETERS, Conf
from mta.conf.errors import ConfError
from mta.conf.host import Host
from mta.conf.main_cf import parse_main_cf
from mta.conf.master_cf import parse_master_cf
from mta.conf.postconf import postconf
from mta.conf.postconf.terminal import Terminal
from mta.conf.services import SERVICE_PARAMETERS
from postlab.configuration import stock_master_cf

HOST = Host("mail.example.org")

often = settings(max_examples=200, deadline=None, derandomize=True)
seldom = settings(max_examples=40, deadline=None, derandomize=True)


class Memory:
    """The two files of a configuration."""

    def __init__(self, main: str, master: str) -> None:
        self.texts = {"main.cf": main, "master.cf": master}

    def read(self, path: str) -> str:
        return self.texts[path.rpartition("/")[2]]

    def write(self, path: str, text: str) -> None:
        raise OSError(30, "Read-only file system", path)


class Output(Terminal):
    """Keeps standard output, and forgets messages."""

    def __init__(self) -> None:
        super().__init__("postconf")
        self.texts: list[str] = []

    def write(self, text: str) -> None:
        self.texts.append(text)

    def flush(self) -> None:
        pass

    def message(self, text: str) -> None:
        pass


def printed(option: str, main: str = "", master: str | None = None) -> str:
    """What postconf(1) prints on standard output."""
    files = Memory(main, stock_master_cf() if master is None else master)
    output = Output()
    assert postconf([option], files, HOST, process_id=1, terminal=output).status == 0
    return "".join(output.texts)


def lines(setting: dict[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in setting.items())


# -- what is printed can be read

names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
#: Values without line breaks, or blanks around them; ``#`` would make a comment of a line.
values = (
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40)
    .map(lambda text: text.strip(" \t\v\f"))
    .filter(lambda text: not text.startswith("#"))
)
forms = st.sampled_from(
    ["{} = {}\n", "{}={}\n", "\n{} =\n  {}\n", "# {}\n{} =\t{}  \n", "{}\n ={}\n"]
)


@often
@given(st.dictionaries(names, st.tuples(values, forms), max_size=8))
def test_a_configuration_is_the_same_when_it_is_printed_and_read_again(
    setting: dict[str, tuple[str, str]],
) -> None:
    text = "".join(
        form.format(*(["a = comment"] if form.startswith("#") else []), name, value)
        for name, (value, form) in setting.items()
    )
    main = parse_main_cf(text)
    assert main.error is None
    assert main.values == {name: value for name, (value, _) in setting.items()}
    assert parse_main_cf(lines(main.values)).values == main.values


#: Parameters whose text is looked at when it is read.
SPECIAL = {
    "inet_protocols": "ipv4",
    "inet_interfaces": "127.0.0.1",
    "compatibility_level": "1",
    "default_verp_delimiters": "=+",
    "mynetworks_style": "host",
}
#: A process knows these better than any file.
OWN = {"config_directory", "process_id", "process_name"}
TEXTS = sorted(n for n, p in PARAMETERS.items() if p.kind in ("str", "raw") and n not in SPECIAL)


@seldom
@given(
    st.dictionaries(st.sampled_from(TEXTS), values.map(lambda v: v.replace("$", "")), max_size=5)
)
def test_what_postconf_prints_it_prints_again(setting: dict[str, str]) -> None:
    first = printed("-n", lines(setting))
    assert parse_main_cf(first).values.keys() >= setting.keys()
    assert printed("-n", first) == first


options = st.sampled_from(["-v", "-o smtpd_timeout=10", "-o { smtpd_banner = a b }", "-vo a=b"])
#: The braces of the first argument after the options are not printed, in Postfix.
words = st.sampled_from(["x=y", "{a b}", "-v", "{ -o x }", "--"])
arguments = st.builds(
    lambda first, then: " ".join([*first, *(["user=x", *then] if then else [])]),
    st.lists(options, max_size=2),
    st.lists(words, max_size=3),
)
private = st.sampled_from("ny-")
rows = st.tuples(
    st.sampled_from(["smtp", "submission", "127.0.0.1:10025", "[::1]:25"]).map("{} inet n".format)
    | st.builds("{} unix {}".format, st.sampled_from(["smtp", "filter", "x-y"]), private),
    *[st.sampled_from("ny-")] * 2,
    st.sampled_from(["-", "60", "300?", "0"]),
    st.sampled_from(["-", "0", "1", "20"]),
    st.sampled_from(["smtpd", "pipe", "qmgr"]),
    arguments,
)


def service(row: tuple[str, ...]) -> str:
    """The name and the type."""
    return row[0][:-1]


@seldom
@given(st.lists(rows, max_size=5, unique_by=service))
def test_services_are_the_same_when_they_are_printed_and_read_again(
    given_rows: list[tuple[str, ...]],
) -> None:
    def entries(text: str) -> list[dict[str, object]]:
        found = parse_master_cf(text, Conf({}, host=HOST))
        assert found.error is None
        return [{**asdict(entry), "line": 0, "args": []} for entry in found.entries]

    text = "".join(" ".join(row) + "\n" for row in given_rows)
    first = entries(text)
    assert len(first) == len(given_rows)
    assert entries(printed("-M", "", text)) == first


# -- expressions

FEW = ["a", "b", "c", "mydomain", "myhostname", "myorigin", "relay_domains"]
BROKEN = ["x", "10", " ", "", "$$", "$", "${", "}", "$(", ")", "{", "==", "?", ":", "${a?", "${{"]


def _more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    name = st.sampled_from(FEW)
    operator = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "=", "~"])
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("${{{}?{}}}".format, name, inner),
        st.builds("$({}:{})".format, name, inner),
        st.builds("${{{}?{{{}}}:{{{}}}}}".format, name, inner, inner),
        st.builds("${{{{{}}}{}{{{}}}?{{{}}}}}".format, inner, operator, inner, inner),
    )


expressions = st.recursive(
    st.sampled_from(BROKEN)
    | st.sampled_from(FEW).flatmap(lambda n: st.sampled_from([f"${n}", f"${{{n}}}", f"$({n})"])),
    _more,
    max_leaves=6,
)


@often
@given(st.dictionaries(st.sampled_from(FEW), expressions, max_size=6), expressions)
def test_expansion_comes_to_an_end(setting: dict[str, str], text: str) -> None:
    for program in ("", "smtpd"):
        for wanted in (text, *(f"${name}" for name in FEW)):
            conf = Conf(setting, program=program, host=HOST, warn=lambda _: None)
            try:
                assert isinstance(conf.expand(wanted), str)
            except ConfError as error:
                assert error.args[0]
        try:
            Conf(setting, program=program, host=HOST, warn=lambda _: None).check_set()
        except ConfError as error:
            assert error.args[0]


@pytest.mark.parametrize(
    "setting",
    [
        {"a": "$a"},
        {"a": "$b", "b": "${c?{$a}}", "c": "x"},
        {"a": "${b:$a}"},
        {"a": "x ${{$a} == {x} ? y}"},
    ],
)
def test_a_name_that_means_itself_is_an_error(setting: dict[str, str]) -> None:
    conf = Conf(setting, host=HOST)
    with pytest.raises(ConfError, match="macro processing error"):
        conf.expand("$a")
    assert conf.warnings[0].startswith("unreasonable macro call nesting: ")


@pytest.mark.parametrize("program", ["", "smtpd", "smtp", "local", "qmgr"])
def test_chains_that_hang_on_defaults_come_to_an_end(program: str) -> None:
    ends = ["mydomain", "myorigin", "relay_domains", "mynetworks", "virtual_mailbox_domains"]
    setting: dict[str, str] = {"myhostname": "$c0x0", "mydestination": "$c1x0"}
    for chain, end in enumerate(ends):
        setting |= {
            f"c{chain}x{n}": f"${{c{chain}x{n + 1}?{{$c{chain}x{n + 1}}}}}" for n in range(45)
        }
        setting[f"c{chain}x45"] = f"${end}"
    setting["virtual_alias_domains"] = "$c2x0 $c3x0 $c4x0"
    setting["mynetworks_style"] = "$c4x0"
    for name in [*ends, "myhostname", "smtpd_banner"]:
        conf = Conf(setting, program=program, host=HOST)
        try:
            conf.get(name, f"${name}")
        except ConfError as error:
            assert error.text


@pytest.mark.parametrize("opening", ["${a?", "${{", "${a?{", "${a:{", "${", "$(", "${{x}=={"])
def test_no_text_is_too_deep(opening: str) -> None:
    for closing in ("", "}" * 4000, "}==x}" * 2000):
        conf = Conf({"a": "x"}, host=HOST)
        try:
            conf.expand(opening * 2000 + closing)
        except ConfError as error:
            assert error.text == "dictionary mail_dict: macro processing error"


# -- every parameter


@cache
def defaults() -> dict[str, str]:
    """All parameters and their defaults."""
    pairs = (line.partition(" =") for line in printed("-d").splitlines())
    return {name: value.strip() for name, _, value in pairs}


def valid(name: str, number: int) -> str:
    """One of the valid values of a parameter."""
    parameter = PARAMETERS.get(name)
    if name in SPECIAL:
        return SPECIAL[name]
    if parameter is None:  # of a service
        return str(number + 1)
    if parameter.kind in ("bool", "nbool"):
        return ("yes", "no", "YES", "No")[number % 4]
    if parameter.kind in ("str", "raw"):
        return f"text {number}.x, y=z"
    low, high = max(parameter.min, 1), parameter.max or 1 << 24
    value = low + number % (high - low + 1)
    return f"{value}s" if parameter.kind == "time" else str(value)


def test_there_are_860_parameters() -> None:
    others = {s for suffixes in SERVICE_PARAMETERS.values() for s in suffixes}
    assert len(defaults()) == 860
    assert all(name in PARAMETERS or name.endswith(tuple(others)) for name in defaults())


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_every_parameter_can_be_set_and_postconf_shows_it(number: int) -> None:
    setting = {name: valid(name, number) for name in defaults().keys() - OWN}
    shown = parse_main_cf(printed("-n", lines(setting))).values
    assert [name for name, value in setting.items() if shown.get(name) != value] == []
    conf = Conf({n: v for n, v in setting.items() if n in PARAMETERS}, host=HOST)
    for name in setting.keys() & PARAMETERS.keys():
        getattr(conf, PARAMETERS[name].attribute)


@seldom
@given(st.data(), st.integers(0, 10_000))
def test_a_setting_changes_what_postconf_shows_by_a_line(data: st.DataObject, number: int) -> None:
    name = data.draw(st.sampled_from(sorted(defaults().keys() - OWN)))
    line = f"{name} = {valid(name, number)}"
    before, after = printed("-n"), printed("-n", f"{line}\n")
    assert set(after.splitlines()) - set(before.splitlines()) == {line}


@seldom
@given(st.sampled_from(sorted(PARAMETERS)), st.text(max_size=12))
def test_a_bad_value_is_told_and_kills_nothing_else(name: str, value: str) -> None:
    conf = Conf({name: value}, host=HOST, warn=lambda _: None)
    try:
        getattr(conf, PARAMETERS[name].attribute)
    except ConfError as error:
        assert error.args[0]
