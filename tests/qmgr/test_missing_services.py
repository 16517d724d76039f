"""Services that are not there: who waits for them, who gives up, and what the log says.

The lines are those of a real Postfix 3.0.15.
"""

from __future__ import annotations

import pytest

from postlab import Lab

SITE = """
mydestination = example.org
mynetworks = 192.0.2.0/24
"""


def lines(lab: Lab, program: str) -> list[str]:
    """The log of a program, without the warnings of master(8)."""
    found = [line.partition(": ") for line in map(str, lab.log)]
    return [text for tag, _, text in found if tag.startswith(f"postfix/{program}[")]


#: Service parameter, directory of the socket, what else is set.
PATIENT = [
    ("rewrite_service_name", "private", ""),
    ("cleanup_service_name", "public", ""),
    ("address_verify_service_name", "private",
     "smtpd_recipient_restrictions = reject_unverified_recipient"),
]  # fmt: skip


@pytest.mark.parametrize(("parameter", "where", "more"), PATIENT)
def test_smtpd_asks_ten_times_for_a_service_and_then_dies(
    parameter: str, where: str, more: str
) -> None:
    lab = Lab()
    lab.mta(f"{SITE}\n{parameter} = lost\n{more}\n")
    client = lab.client("192.0.2.30").say("HELO pc", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>")
    assert "* no reply" in client.transcript  # that takes 100 seconds
    text = f"to subsystem {where}/lost: No such file or directory"
    said = [line for line in lines(lab, "smtpd") if "subsystem" in line]
    assert said == [f"warning: connect #{n} {text}" for n in range(1, 11)] + [
        f"fatal: connect #11 {text}"
    ]


def test_a_missing_connection_cache_is_missed_twice_and_then_done_without() -> None:
    lab = Lab()
    lab.mta(
        f"{SITE}\nconnection_cache_service_name = lost\n"
        "smtp_connection_cache_destinations = dest.test\n"
    )
    lab.peer("mx.dest.test", mx_for=["dest.test"])
    lab.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "bob@dest.test").quit()
    assert lab.fate("bob@dest.test").status == "sent"
    warnings = [line for line in lines(lab, "smtp") if line.startswith("warning")]
    assert warnings == [
        "warning: connect to private/lost: No such file or directory",
        "warning: connect to private/lost: No such file or directory",
        "warning: disabling connection caching",
    ]


def test_a_program_that_is_not_there_is_missed_by_the_child_of_master() -> None:
    lab = Lab()
    lab.mta(
        f"{SITE}\ntransport_maps = inline:{{{{dest.test = lost:}}}}\n",
        master_cf="lost unix - - n - - lost\n",
    )
    lab.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "bob@dest.test").quit()
    text = "fatal: master_spawn: exec /usr/libexec/postfix/lost: No such file or directory"
    assert f"master: {text}" in map(str, lab.log)
    assert any(line.endswith(": bad command startup -- throttling") for line in map(str, lab.log))
