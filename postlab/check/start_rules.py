"""What the daemons say when they start with the configuration."""

from __future__ import annotations

import re

from mta.conf.errors import ConfError
from mta.conf.master_cf import MasterEntry
from mta.lib.log import Log
from mta.master.master import Master
from mta.master.server import PROGRAMS
from mta.postfix import Postfix, load_programs
from postlab.check.context import Context, without
from postlab.folder import CONFIG_DIRECTORY

#: What other checks tell better, or what says nothing of the configuration.
_KNOWN = re.compile(
    r"process \S+ pid \d+ exit status|\S+: bad command startup -- throttling"
    r"|.*overriding earlier entry: |daemon started|.*: logical line must not start with whitespace"
    r"|.*unsupported dictionary type|.*open(?: database)? \S+: No such file or directory"
    r"|.*(?:map \S+|/\S+), line \d+: |fatal: master_spawn: exec |.* is unavailable\. "
    r"|.*specify at least one working instance|restriction `.*' after `.*' is ignored"
    r"|TLS library problem: "
    r"|restriction class `.*' needs a definition|invalid \"-o"
)

_NAME = re.compile(r"[a-z0-9_]+")


def check_start(context: Context) -> None:
    """Starts each service once, and takes down what it has to say."""
    load_programs()
    system = context.machine.system
    log = context.machine.machine.log
    main = context.sound_main
    while True:
        start = len(log)
        conf = context.view("master", main=main)
        conf.warn = Log(system, "postfix/master", 1).warning
        try:
            conf.check_set()
        except ConfError as error:
            Log(system, "postfix/master", 1).info(f"fatal: {error.text}")
            _tell(context, start, None)
            named = set(_NAME.findall(error.text)).intersection(main.values)
            if not named:
                return
            # Without what it died of it may have more to say.
            main = without(main, named)
        else:
            break
    try:
        Postfix(system, CONFIG_DIRECTORY)._make_directories(conf)
    except ValueError:
        what = f"queue_directory: {conf.queue_directory} is no absolute path"
        context.found.add(
            "error",
            "bad-value",
            what,
            file=context.main_file,
            line=context.line_of("queue_directory"),
            name="queue_directory",
        )
        main = without(main, {"queue_directory"})
        conf = context.view("master", main=main)
    except OSError:
        pass
    _tell(context, start, None)
    master = Master(system, main, context.entries, conf)
    _start_all(context, master)


def _start_all(context: Context, master: Master) -> None:
    log = context.machine.machine.log
    for key, service in master.services.items():
        entry = service.entry
        if entry.program not in PROGRAMS or entry.error:
            continue
        start = len(log)
        try:
            master._start(service)
        except Exception as error:
            # A defect of ours is no problem of the user's.
            what = f"{key} could not be tried out: {type(error).__name__}: {error}"
            context.found.add(
                "note", "not-tried", what, file=context.master_file, line=entry.line, name=key
            )
        _tell(context, start, entry)


def _tell(context: Context, start: int, entry: MasterEntry | None) -> None:
    """The warnings and errors in the log from a place on."""
    for line in context.machine.machine.log[start:]:
        level, colon, text = line.text.partition(": ")
        if not colon or level not in ("warning", "error", "fatal", "panic"):
            continue
        if "virtual_mailbox_base" in text and not _uses_virtual(context):
            continue  # virtual(8) is there, and has nothing to do
        if _KNOWN.match(text) or _KNOWN.match(line.text):
            continue
        file, number, what = context.place(text)
        if entry is not None and not file:
            file, number = context.master_file, entry.line
        if entry is not None:
            for name in entry.overrides:
                if re.search(rf"\b{re.escape(name)}\b", text):
                    file, number = context.master_file, entry.line
        severity = "warning" if level == "warning" else "error"
        who = line.tag.rpartition("/")[2]
        if severity == "error" and level != "error":
            what = f"{who}(8) dies at its start: {what}"
        context.found.add(
            severity,
            "start",
            what,
            file=file or context.main_file,
            line=number,
            name=entry.name if entry is not None else "master",
        )


def _uses_virtual(context: Context) -> bool:
    transport = context.value("virtual_transport").partition(":")[0]
    return context.conf.is_set("virtual_mailbox_domains") and transport == "virtual"
