"""bounce_log(3) - the logfiles of failed, delayed and traced recipients.

Each message has at most one in each of the directories ``bounce``, ``defer`` and ``trace``, under
its queue id.  An entry is a block of ``name=value`` lines between empty lines; in front of it, with
``backwards_bounce_logfile_compatibility``, the line ``<recipient>: reason`` of old.

CONFIGURATION PARAMETERS
    backwards_bounce_logfile_compatibility, queue_directory, hash_queue_names, hash_queue_depth,
    smtputf8_enable
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mta.lib.dsn_mask import dsn_notify_ok
from mta.lib.mail_owner import mail_owner
from mta.lib.mail_queue import MAIL_QUEUE_DEFER, MailQueue
from mta.lib.recipient import Recipient
from mta.system import Wait
from mta.util.casefold import same_text
from mta.util.scalars import split_name_value, strtol
from mta.wire.dsn import Dsn
from mta.wire.quote import quote_822_local
from mta.wire.text import printable, to_bytes, to_text

if TYPE_CHECKING:
    from mta.master.server import Process


class BounceEntry(NamedTuple):
    """What is known of one recipient.  The addresses are in external (quoted) form."""

    recipient: Recipient
    dsn: Dsn


def bounce_log_path(process: Process, service: str, queue_id: str) -> str:
    """Where the logfile of a message lies."""
    return MailQueue.from_conf(process.conf).path(service, queue_id)


def format_entry(recipient: Recipient, dsn: Dsn, compat: bool, utf8: bool = True) -> bytes:
    """The bytes of an entry."""
    address = quote_822_local(recipient.address) if recipient.address else ""
    lines = ["", f"<{address}>: {dsn.reason}"] if compat else [""]
    lines.append(f"recipient={address or '<>'}")
    orig = recipient.orig_addr
    if orig and not same_text(recipient.address, orig, utf8):
        lines.append(f"original_recipient={quote_822_local(orig)}")
    if recipient.offset > 0:
        lines.append(f"offset={recipient.offset}")
    if recipient.dsn_orcpt:
        lines.append(f"dsn_orig_rcpt={recipient.dsn_orcpt}")
    if recipient.dsn_notify:
        lines.append(f"notify_flags={recipient.dsn_notify}")
    if dsn.status:
        lines.append(f"status={dsn.status}")
    if dsn.action:
        lines.append(f"action={dsn.action}")
    if dsn.dtype and dsn.dtext:
        lines += [f"diag_type={dsn.dtype}", f"diag_text={dsn.dtext}"]
    if dsn.mtype and dsn.mname:
        lines += [f"mta_type={dsn.mtype}", f"mta_mname={dsn.mname}"]
    if dsn.reason:
        lines.append(f"reason={dsn.reason}")
    lines += ["", ""]
    return to_bytes("\n".join(lines))


def bounce_log_append(
    process: Process, service: str, queue_id: str, recipient: Recipient, dsn: Dsn
) -> Wait[None]:
    """Adds an entry and brings it to the disk.  Any failure is fatal, so that the client tries
    again later.
    """
    conf, files = process.conf, process.system.files
    path = bounce_log_path(process, service, queue_id)
    data = format_entry(
        recipient, dsn, conf.backwards_bounce_logfile_compatibility, conf.smtputf8_enable
    )
    owner = mail_owner(process)
    try:
        try:
            files.append(path, data, 0o600, owner.uid, owner.gid)
        except FileNotFoundError:
            MailQueue.mkdirs(files, path, owner.uid, owner.gid)
            files.append(path, data, 0o600, owner.uid, owner.gid)
    except OSError as error:
        process.log.fatal(f"open file {service} {queue_id}: {error.strerror}")
    file = files.open(path)
    try:
        yield files.sync(file)
    except OSError as error:
        del file.data[len(file.data) - len(data) :]
        process.log.fatal(f"append file {service} {queue_id}: {error.strerror}")


def bounce_log_remove(process: Process, service: str, queue_id: str) -> None:
    """Forgets the logfile; quiet where there is none, fatal where it cannot be removed."""
    try:
        process.system.files.remove(bounce_log_path(process, service, queue_id))
    except FileNotFoundError:
        pass
    except OSError as error:
        process.log.fatal(f"remove {service} {queue_id}: {error.strerror}")


def bounce_log_read(process: Process, service: str, queue_id: str) -> list[BounceEntry] | None:
    """The entries of a logfile; None where there is none.  Fatal where it cannot be opened."""
    path = bounce_log_path(process, service, queue_id)
    try:
        data = process.system.files.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        process.log.fatal(f"open {service} {queue_id}: {error.strerror}")
    shown = MailQueue.from_conf(process.conf).name(service, queue_id)
    return parse_entries(process, shown, data, service == MAIL_QUEUE_DEFER)


def parse_entries(process: Process, path: str, data: bytes, delayed: bool) -> list[BounceEntry]:
    """The entries in a logfile's content; ``delayed`` tells which status the old form stands for.
    What is malformed is left out, with a warning that names the ``path``.
    """
    utf8 = bool(process.conf.smtputf8_enable)
    found: list[BounceEntry] = []
    fields: dict[str, str] | None = None
    for raw in to_text(data).split("\n"):
        if not raw:
            if fields is not None:
                found.append(_entry(fields, delayed))
                fields = None
            continue
        if fields is None:
            fields = {}
        line = printable(raw, utf8=utf8)
        if line[0].isascii() and line[0].isalnum():
            _new_style(process, path, line, fields)
        else:
            _old_style(process, path, line, fields)
    return found


def _new_style(process: Process, path: str, line: str, fields: dict[str, str]) -> None:
    """``name=value``."""
    pair = split_name_value(line)
    if isinstance(pair, str):
        process.log.warning(f"{path}: malformed record: {pair}")
        return
    name, value = pair
    if name not in _KNOWN:
        process.log.warning(f"{path}: unknown attribute name: {name}, ignored")
        return
    if name in ("recipient", "original_recipient"):
        value = value or "(MAILER-DAEMON)"
    fields[name] = value


def _old_style(process: Process, path: str, line: str, fields: dict[str, str]) -> None:
    """``<recipient>: reason``."""
    recipient, found, reason = line[1:].partition(">: ")
    if line[0] != "<" or not found:
        shown = line if line[0] != "<" else "(null)"
        process.log.warning(f"{path}: malformed record: {shown[:30]}...")
        return
    fields["recipient"] = recipient or "(MAILER-DAEMON)"
    fields["reason"] = reason.lstrip(" \t\n\v\f\r")


_KNOWN = frozenset(
    (
        "recipient",
        "original_recipient",
        "offset",
        "dsn_orig_rcpt",
        "notify_flags",
        "status",
        "action",
        "diag_type",
        "diag_text",
        "mta_type",
        "mta_mname",
        "reason",
    )
)


def _entry(fields: dict[str, str], delayed: bool) -> BounceEntry:
    get = fields.get
    offset = strtol(get("offset", ""))[0]
    notify = strtol(get("notify_flags", ""))[0]
    recipient = Recipient(
        get("recipient") or "(recipient address unavailable)",
        get("original_recipient", ""),
        get("dsn_orig_rcpt", ""),
        notify if notify > 0 and dsn_notify_ok(notify) else 0,
        max(offset, 0),
    )
    dsn = Dsn(
        get("status") or ("4.0.0" if delayed else "5.0.0"),
        get("reason") or "(description unavailable)",
        get("action") or ("delayed" if delayed else "failed"),
        get("diag_type", ""),
        get("diag_text", ""),
        get("mta_type", ""),
        get("mta_mname", ""),
    )
    return BounceEntry(recipient, dsn)
