"""postqueue(1), mailq(1) - the user's view of the queue.

DESCRIPTION
    ``-p`` lists the queue (so does ``mailq``), ``-f`` has all of it delivered, ``-i`` one message,
    ``-s`` the mail for one site.

DIAGNOSTICS
    Whatever is fatal ends with exit status 69 (EX_UNAVAILABLE).

CONFIGURATION PARAMETERS
    authorized_flush_users, authorized_mailq_users, daemon_directory, fast_flush_domains,
    pickup_service_name, queue_service_name, showq_service_name
"""

from __future__ import annotations

from mta.commands.command import EX_UNAVAILABLE, Command, command
from mta.lib.clients import flush_site
from mta.lib.mail_owner import mail_owner
from mta.lib.mail_queue import mail_queue_id_ok
from mta.lib.requests import (
    FLUSH_STAT_BAD,
    FLUSH_STAT_DENY,
    FLUSH_STAT_FAIL,
    FLUSH_STAT_OK,
    ShowqRequest,
)
from mta.lib.user_acl import user_in_acl
from mta.master.server import PROGRAMS
from mta.system import Gone, Wait
from mta.util.valid_hostname import valid_hostname, valid_mailhost_literal

USAGE = "usage: postqueue -f | postqueue -i queueid | postqueue -p | postqueue -s site"
_DOWN = "Cannot flush mail queue - mail system is down"


@command("postqueue")
def postqueue(cmd: Command) -> Wait[int]:
    """Parses the command line and does the one thing that it asks for."""
    mode, value = "", ""
    for letter, argument in cmd.options("c:fi:ps:v", USAGE, EX_UNAVAILABLE):
        if letter in "fips":
            if mode:
                cmd.fatal(EX_UNAVAILABLE, USAGE)
            mode, value = letter, argument
    if cmd.args or not mode:
        cmd.fatal(EX_UNAVAILABLE, USAGE)
    if mode == "p":
        return (yield from show_queue(cmd))
    if mode == "f":
        return (yield from flush_queue(cmd))
    if mode == "s":
        return (yield from _flush_site(cmd, value))
    return (yield from _flush_file(cmd, value))


def _clip(text: str) -> str:
    return text[:100] + ("..." if len(text) > 100 else "")


def _allowed(cmd: Command, parameter: str, acl: str, what: str) -> Wait[None]:
    user = cmd.user
    if user.uid in (0, mail_owner(cmd.process).uid):
        return
    if not (yield from user_in_acl(cmd.process, parameter, acl, user.name)):
        cmd.fatal(
            EX_UNAVAILABLE, f"User {user.name}({user.uid}) is not allowed to {what} the mail queue"
        )


def show_queue(cmd: Command) -> Wait[int]:
    """``postqueue -p``: the listing of showq(8)."""
    conf, service = cmd.process.conf, cmd.process.conf.showq_service_name
    yield from _allowed(cmd, "authorized_mailq_users", conf.authorized_mailq_users, "view")
    try:
        listing: str = yield from cmd.process.call(service, ShowqRequest())
        if cmd.verbose:
            cmd.process.log.info(f"connect to subsystem public/{service}")
    except Gone as gone:
        if cmd.verbose:
            cmd.process.log.info(f"connect to subsystem public/{service}: {gone.args[0]}")
        if cmd.user.uid:
            cmd.fatal(EX_UNAVAILABLE, "Queue report unavailable - mail system is down")
        cmd.process.log.warning("Mail system is down -- accessing queue directly")
        if service not in PROGRAMS:  # its name is taken for that of the executable
            path = f"{conf.daemon_directory}/{service}"
            cmd.fatal(EX_UNAVAILABLE, f"execv {path}: No such file or directory")
        from mta.daemons.showq import Showq

        listing = yield from Showq(cmd.process).serve(ShowqRequest())
    cmd.write(listing)
    return 0


def flush_queue(cmd: Command) -> Wait[int]:
    """``postqueue -f``: all deferred mail is due, dead destinations get a chance."""
    process = cmd.process
    conf = process.conf
    yield from _allowed(cmd, "authorized_flush_users", conf.authorized_flush_users, "flush")
    if not process.trigger(conf.queue_service_name, b"DFAI"):
        cmd.fatal(EX_UNAVAILABLE, _DOWN)
    if not process.trigger(conf.pickup_service_name, b"W"):
        cmd.fatal(EX_UNAVAILABLE, _DOWN)
    return 0


def _flush_site(cmd: Command, site: str) -> Wait[int]:
    valid = valid_mailhost_literal(site) if site.startswith("[") else valid_hostname(site)
    if not valid:
        cmd.fatal(EX_UNAVAILABLE, f'Cannot flush mail queue - invalid destination: "{_clip(site)}"')
    conf = cmd.process.conf
    yield from _allowed(cmd, "authorized_flush_users", conf.authorized_flush_users, "flush")
    status = yield from flush_site(cmd.process, "send_site", site)
    return _report(cmd, status, site)


def _flush_file(cmd: Command, queue_id: str) -> Wait[int]:
    if not mail_queue_id_ok(queue_id):
        cmd.fatal(EX_UNAVAILABLE, f'Cannot flush queue ID - invalid name: "{_clip(queue_id)}"')
    conf = cmd.process.conf
    yield from _allowed(cmd, "authorized_flush_users", conf.authorized_flush_users, "flush")
    status = yield from flush_site(cmd.process, "send_file", queue_id=queue_id)
    return _report(cmd, status, queue_id)


def _report(cmd: Command, status: int, what: str) -> int:
    if status == FLUSH_STAT_OK:
        return 0
    failures = {
        FLUSH_STAT_BAD: (EX_UNAVAILABLE, f'Invalid request: "{what}"'),
        FLUSH_STAT_FAIL: (EX_UNAVAILABLE, _DOWN),
        FLUSH_STAT_DENY: (
            EX_UNAVAILABLE,
            f'Flush service is not configured for destination "{what}"',
        ),
    }
    unknown = (EX_UNAVAILABLE, f"Unknown flush server reply status {status}")
    exit_status, text = failures.get(status, unknown)
    return cmd.fatal(exit_status, text)
