"""``master.cf``: entries that make no sense, programs, services that something needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mta.conf.main_cf import logical_lines
from mta.conf.master_cf import MasterEntry, parse_master_cf
from postlab.check.context import Context
from postlab.check.history import LATER_PROGRAMS
from postlab.check.main_rules import nearest

PROGRAMS = (
    "anvil", "bounce", "cleanup", "discard", "dnsblog", "error", "flush", "lmtp", "local", "oqmgr",
    "pickup", "pipe", "postscreen", "proxymap", "qmgr", "qmqpd", "scache", "showq", "smtp",
    "smtpd", "spawn", "tlsmgr", "tlsproxy", "trivial-rewrite", "verify", "virtual",
)  # fmt: skip
_TRANSPORTS = ("discard", "error", "lmtp", "local", "pipe", "smtp", "virtual")

#: Services without which a mail system does not work, by the parameters that name them.
_NEEDED = {
    "pickup_service_name": "mail that users submit is never picked up",
    "cleanup_service_name": "no mail can be received",
    "queue_service_name": "nothing is ever delivered",
    "rewrite_service_name": "no address can be resolved",
    "bounce_service_name": "undeliverable mail cannot be returned",
    "defer_service_name": "the reasons for deferred mail cannot be kept",
    "error_service_name": "undeliverable recipients cannot be returned",
    "proxymap_service_name": "tables of type proxy: fail",
    "showq_service_name": "the queue cannot be listed",
}
#: Programs of which there must not be more than one process.
_SINGLE = ("qmgr", "oqmgr", "pickup", "tlsmgr", "verify", "anvil", "scache", "postscreen")
#: Parameters that name a transport (``transport:nexthop``).
_ROUTES = (
    "default_transport", "local_transport", "relay_transport", "virtual_transport",
    "mailbox_transport", "fallback_transport", "address_verify_default_transport",
    "address_verify_local_transport", "address_verify_relay_transport",
    "address_verify_virtual_transport", "content_filter",
)  # fmt: skip
_LINE = re.compile(r"\S+: line (\d+): (.*)", re.DOTALL)


def _lines(context: Context) -> Iterator[tuple[int, str]]:
    warnings: list[str] = []
    for line in logical_lines(context.folder.text("master.cf"), "master.cf", warnings):
        yield line.line, line.text


def readable_entries(context: Context) -> list[MasterEntry]:
    """The entries, each read by itself, so that one that makes no sense hides no other."""
    found = []
    for number, text in _lines(context):
        for entry in parse_master_cf(text, context.conf, "master.cf").entries:
            entry.line = number
            found.append(entry)
    return found


def readable_lines(context: Context) -> list[str]:
    """The logical lines of these entries."""
    return [
        text
        for _, text in _lines(context)
        if parse_master_cf(text, context.conf, "master.cf").error is None
        and not any(entry.error for entry in parse_master_cf(text, context.conf, "").entries)
    ]


def check_master(context: Context) -> None:
    """All that can be told of ``master.cf`` by itself."""
    file, add = context.master_file, context.found.add
    if not context.folder.has_master_cf:
        why = context.folder.unreadable.get("master.cf")
        if why is not None:
            add("error", "no-master-cf", f"no master.cf: {why}; no service can run", file=file)
        else:
            what = "there is no master.cf; that of a new Postfix is taken for it"
            add("note", "no-master-cf", what, file=file)
        return
    for number, text in _lines(context):
        parsed = parse_master_cf(text, context.conf, "master.cf")
        if parsed.error:
            match = _LINE.fullmatch(parsed.error)
            what = match[2] if match else parsed.error
            if "unix-dgram" in what:
                what += " (it came with Postfix 3.4)"
            add(
                "error",
                "bad-entry",
                f"{what}; Postfix does not start with this entry",
                file=file,
                line=number,
                name=text.split()[0],
            )
    _check_entries(context)
    _check_needed(context)
    _check_routes(context)


def _check_entries(context: Context) -> None:
    file, add = context.master_file, context.found.add
    seen: dict[tuple[str, str], int] = {}
    for entry in context.entries:
        key = (entry.name, entry.type)
        if key in seen:
            what = f"{entry.name}/{entry.type} is there already in line {seen[key]}"
            add("error", "duplicate-service", what, file=file, line=entry.line, name=entry.name)
        seen.setdefault(key, entry.line)
        _check_program(context, entry)
        if entry.error:
            hint = "; write -o name=value without blanks" if "missing '='" in entry.error else ""
            add(
                "error",
                "bad-option",
                f"{entry.error}: each process of {entry.name} dies of it{hint}",
                file=file,
                line=entry.line,
                name=entry.name,
            )
        if entry.program in ("smtpd", "smtp", "lmtp", "cleanup", "local", "virtual"):
            _check_words(context, entry)
        if entry.program in _SINGLE and entry.max_proc != 1:
            what = f"{entry.program} must run as one process: the seventh field has to be 1"
            add("warning", "process-limit", what, file=file, line=entry.line, name=entry.name)


def _check_program(context: Context, entry: MasterEntry) -> None:
    program = entry.program
    if program in PROGRAMS or "/" in program:
        return
    if program in LATER_PROGRAMS:
        what = f"{program} came with Postfix {LATER_PROGRAMS[program]}; 3.0 has no such program"
        rule = "later-program"
    else:
        near = nearest(program, PROGRAMS)
        guess = f"; did you mean {near}?" if near else ""
        what, rule = f"Postfix has no program {program}{guess}", "unknown-program"
    context.found.add(
        "error", rule, what, file=context.master_file, line=entry.line, name=entry.name
    )


def _check_words(context: Context, entry: MasterEntry) -> None:
    """Words after the options: nearly always an ``-o name = value`` with blanks."""
    if entry.error or not entry.rest:
        return
    what = f"{entry.program} takes no arguments, but gets {' '.join(entry.rest)!r}"
    if any(word.startswith("=") for word in entry.rest):
        what += "; write -o name=value without blanks, or -o { name = value }"
    context.found.add(
        "error",
        "stray-argument",
        what,
        file=context.master_file,
        line=entry.line,
        name=entry.name,
    )


def _check_needed(context: Context) -> None:
    names = {entry.name for entry in context.entries}
    for parameter, harm in _NEEDED.items():
        service = context.value(parameter)
        if service and service not in names:
            what = f"there is no service {service} ({parameter}): {harm}"
            context.found.add("error", "missing-service", what, file=context.master_file)


def _check_routes(context: Context) -> None:
    names = {entry.name: entry for entry in context.entries if entry.type != "inet"}
    for parameter in _ROUTES:
        value = context.value(parameter)
        transport = value.partition(":")[0].strip()
        if not transport or any(char in transport for char in "/ $"):
            continue
        set_here = context.line_of(parameter)
        if parameter.startswith("address_verify_") and not set_here:
            continue
        if transport not in names:
            what = f"{parameter} names the transport {transport}, which master.cf does not have"
            near = nearest(transport, names)
            what += f"; did you mean {near}?" if near else ""
            context.found.add(
                "error" if set_here else "warning",
                "missing-transport",
                what,
                file=context.main_file if set_here else context.master_file,
                line=set_here,
                name=parameter,
            )
        elif set_here and names[transport].program not in _TRANSPORTS:
            what = f"{parameter} names {transport}, which runs {names[transport].program}"
            context.found.add(
                "error",
                "no-transport",
                f"{what}: that delivers no mail",
                file=context.main_file,
                line=set_here,
                name=parameter,
            )


def transport_names(context: Context) -> set[str]:
    """The names of all transports."""
    return {entry.name for entry in context.entries if entry.type != "inet"}
