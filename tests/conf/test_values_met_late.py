"""A value that a process meets long after its start: the process dies of it, as in Postfix."""

from __future__ import annotations

import pytest

from postlab.lab import Lab


@pytest.mark.parametrize(
    ("setting", "program", "text"),
    [
        (
            "smtp_destination_concurrency_limit = $$",
            "qmgr",
            "bad numerical configuration: smtp_destination_concurrency_limit = $",
        ),
        (
            "smtp_destination_recipient_limit = x",
            "qmgr",
            "bad numerical configuration: smtp_destination_recipient_limit = x",
        ),
    ],
)
def test_a_process_dies_of_a_bad_value_when_it_meets_it(
    setting: str, program: str, text: str
) -> None:
    world = Lab().mta(f"mynetworks = 198.51.100.0/24\n{setting}\n")
    world.client("198.51.100.7").say("EHLO c.test").mail("a@c.test", "b@d.test").quit()
    world.run(until=5)
    lines = [str(line) for line in world.log]
    assert any(f"/{program}[" in line and line.endswith(f": fatal: {text}") for line in lines)
    assert any(f"/{program} pid" in line and "exit status 1" in line for line in lines)


def test_a_command_dies_of_it_too() -> None:
    world = Lab().mta("authorized_mailq_users = $\n")
    world.command("postqueue -p")
    world.run()
    [ran] = world.outcome.commands
    assert ran.exit == 69
    assert ran.output.startswith('postqueue: warning: empty macro name: "$"\n')
    assert "postqueue: fatal: dictionary mail_dict: macro processing error\n" in ran.output
