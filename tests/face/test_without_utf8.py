"""Without ``smtputf8_enable`` no byte beyond ASCII is shown, in the log or by commands."""

from __future__ import annotations

import pytest

from postlab import Lab


@pytest.mark.parametrize(("setting", "address"), [("yes", "ü@dest.test"), ("no", "??@dest.test")])
def test_the_queue_listing_shows_each_address_once(setting: str, address: str) -> None:
    lab = Lab(seed=1)
    lab.mta(f"smtputf8_enable = {setting}\nmynetworks = 198.51.100.0/24\ndefer_transports = smtp\n")
    lab.client("198.51.100.7").mail("ö@c.test", "ü@dest.test", text="x: y\n\n")
    rows = lab.command("postqueue -p").output.splitlines()
    assert [row.strip() for row in rows if "dest.test" in row] == [address]
    sender = "ö@c.test" if setting == "yes" else "??@c.test"
    assert rows[1].endswith(f" {sender}")
    assert any(line.text.find(f"from=<{sender}>") > 0 for line in lab.log)


def test_commands_complain_in_ascii() -> None:
    lab = Lab(seed=1)
    lab.mta("smtputf8_enable = no\n")
    assert lab.command("postsuper -d ü").output == (
        "postsuper: warning: invalid mail queue id: ??\n"
    )
    assert lab.command("postqueue -s ü.test").output == (
        'postqueue: fatal: Cannot flush mail queue - invalid destination: "??.test"\n'
    )
