"""mail_addr(3) - addresses with a meaning of their own on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mta.master.server import Process

MAIL_ADDR_MAIL_DAEMON = "MAILER-DAEMON"
MAIL_ADDR_POSTMASTER = "postmaster"


def mail_addr_double_bounce(process: Process) -> str:
    """The sender of postmaster notices: ``double_bounce_sender`` at this host."""
    return f"{process.conf.double_bounce_sender}@{process.conf.myhostname}"


def mail_addr_mail_daemon(process: Process) -> str:
    """The mail system itself."""
    return f"{MAIL_ADDR_MAIL_DAEMON}@{process.conf.myhostname}"
