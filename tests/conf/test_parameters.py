"""The table of parameters."""

from __future__ import annotations

import pytest

from mta.conf.conf import LMTP_NAMES, PARAMETERS, Conf
from mta.conf.kinds import Bool, Int, NInt, Parameter, Raw, Str, Time
from mta.conf.loads import LOADS
from mta.conf.params import Parameters
from mta.conf.services import SERVICE_PARAMETERS
from mta.util.mac_expand import scan_names

#: Names that defaults mention for the sake of older configurations.
OLD = {
    "authorized_verp_clients",
    "fallback_relay",
    "smtpd_client_connection_limit_exceptions",
    "stress",
    "virtual_maps",
}


def test_every_parameter_that_a_program_loads_is_in_the_table_once() -> None:
    for program, names in LOADS.items():
        assert len(set(names)) == len(names), program
        assert not [name for name in names if name not in PARAMETERS], program


def test_the_defaults_are_good_but_for_the_one_that_must_be_set() -> None:
    conf = Conf({})
    bad = []
    for name, parameter in PARAMETERS.items():
        try:
            conf.evaluate(parameter)
        except Exception:
            bad.append(name)
    assert bad == ["virtual_mailbox_base"]


def test_the_names_in_defaults_are_known() -> None:
    for name, parameter in PARAMETERS.items():
        if parameter.expands:
            names, warnings = scan_names(parameter.default)
            assert not set(names) - OLD - set(PARAMETERS), name
            assert not warnings, name


@pytest.mark.parametrize(
    ("name", "kind", "default", "min", "max", "programs"),
    [
        ("smtpd_timeout", Time, "${stress?{10}:{300}}s", 1, 0, ("smtpd",)),
        ("smtpd_hard_error_limit", NInt, "${stress?{1}:{20}}", 1, 0, ("smtpd",)),
        ("in_flow_delay", Time, "1s", 0, 10, ("common",)),
        ("default_verp_delimiters", Str, "+=", 2, 2, ("common",)),
        ("smtpd_expansion_filter", Raw, None, 1, 0, ("postscreen", "smtpd")),
        ("soft_bounce", Bool, "no", 0, 0, ("common",)),
        ("smtp_mx_address_limit", Int, "5", 0, 0, ("smtp",)),
        ("2bounce_notice_recipient", Str, "postmaster", 1, 0, ("bounce",)),
        ("postscreen_access_list", Str, "permit_mynetworks", 0, 0, ("postscreen",)),
    ],
)
def test_a_row_has_class_default_bounds_and_programs(
    name: str,
    kind: type[Parameter[object]],
    default: str | None,
    min: int,
    max: int,
    programs: tuple[str, ...],
) -> None:
    parameter = PARAMETERS[name]
    assert type(parameter) is kind
    assert default is None or parameter.default == default
    assert (parameter.min, parameter.max) == (min, max)
    assert parameter.programs == programs


def test_an_attribute_is_the_name_and_the_class_gives_the_row() -> None:
    assert Parameters.smtpd_timeout is PARAMETERS["smtpd_timeout"]
    assert Parameters._2bounce_notice_recipient.name == "2bounce_notice_recipient"


def test_lmtp_names_exist_and_most_differ_by_the_prefix_alone() -> None:
    for name, other in LMTP_NAMES.items():
        assert name in LOADS["smtp"]
        assert not isinstance(other, str) or other in LOADS["lmtp"]
    odd = {n: o for n, o in LMTP_NAMES.items() if o != "lmtp_" + n[5:]}
    assert sorted(odd) == [
        "ignore_mx_lookup_error",
        "smtp_always_send_ehlo",
        "smtp_discard_ehlo_keyword_address_maps",
        "smtp_discard_ehlo_keywords",
        "smtp_fallback_relay",
        "smtp_helo_name",
        "smtp_helo_timeout",
        "smtp_never_send_ehlo",
    ]


def test_the_defaults_of_service_parameters_are_parameters() -> None:
    for parameters in SERVICE_PARAMETERS.values():
        assert set(parameters.values()) <= set(PARAMETERS)
    assert len(SERVICE_PARAMETERS["pipe"]) == 16
