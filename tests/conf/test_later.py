"""Settings of later releases."""

from __future__ import annotations

from mta.conf.conf import PARAMETERS, Conf
from mta.conf.files import parse_main_cf, parse_master_cf
from mta.conf.later import LATER_PARAMETERS, notices

MAIN = """\
smtpd_forbid_bare_newline = yes
mine = 1
x_transport_rate_delay = 5s
service_name = own
smtpd_banner = $service_name
"""


def test_no_parameter_of_3_0_is_among_them() -> None:
    assert not LATER_PARAMETERS & set(PARAMETERS)
    assert len(LATER_PARAMETERS) > 70


def test_each_setting_of_a_later_release_is_named_with_its_place() -> None:
    main = parse_main_cf(MAIN, "main.cf")
    entries = parse_master_cf(
        "x unix - - n - - smtp\n  -o smtp_min_data_rate=1\n", Conf(main, program="master")
    ).entries
    sentence = "is a parameter of a later Postfix, and means nothing to 3.0"
    assert notices(main, entries) == [
        f"main.cf, line 1: smtpd_forbid_bare_newline {sentence}",
        f"main.cf, line 3: x_transport_rate_delay {sentence}",
        f"master.cf: line 1: smtp_min_data_rate {sentence}",
    ]
