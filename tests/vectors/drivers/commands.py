"""Postfix's commands: postconf, postmap, postalias, postcat; and bounce(8) as it shows templates."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from mta.bounce.templates import Templates
from mta.commands import postcat as _postcat
from mta.commands import postmap as _postmap
from mta.commands.command import COMMANDS, Command, run_command
from mta.conf.host import Host
from mta.conf.postconf import postconf
from mta.conf.postconf.terminal import Terminal
from mta.dict.process import ALLOW_SURROGATE
from mta.dict.registry import dict_mapnames
from mta.system import Fatal
from mta.wire.record import RecordError, decode_time, records
from mta.wire.text import printable
from tests.vectors.shell import Exit, Folder, Io, NotHere, program, to_bytes
from tests.vectors.site import IoLog, site_of

assert _postcat is not None
assert _postmap is not None

_ZONE = "America/New_York"


class _Output(list[str]):
    """Standard output as a list of texts."""

    def __init__(self, io: Io) -> None:
        super().__init__()
        self.io = io

    def append(self, text: str) -> None:
        """A text more."""
        self.io.out(text)


def _run(io: Io) -> int:
    """A command of the mail system."""
    site = site_of(io)
    process = site.bare_process(io.name)
    process.log = IoLog(site.system, io, io.name, process.conf.smtputf8_enable)
    process.conf.warn = process.log.warning
    process.cache[ALLOW_SURROGATE] = False
    stdin = io.stdin.take()
    command = Command(process, io.name, io.args, site.user, stdin, _Output(io), dict(io.env))
    return int(site.run(run_command(command)).exit)


@program("postmap", "postalias")
def run_postmap(io: Io) -> int:
    """Tables."""
    assert io.name in COMMANDS
    return _run(io)


@program("postcat")
def run_postcat(io: Io) -> int:
    """Queue files.  Dates are those of New York, in summer or winter as the first file has it."""
    site = site_of(io)
    for name in io.args:
        if name.startswith("-") or not io.folder.exists(name):
            continue
        try:
            for _, rec_type, data in records(io.folder.read(name)):
                if rec_type == "T":
                    when = datetime.fromtimestamp(decode_time(data) // 1_000_000, UTC)
                    offset = when.astimezone(ZoneInfo(_ZONE)).utcoffset()
                    assert offset is not None
                    site.machine.timezone = int(offset.total_seconds()) // 60
                    break
        except RecordError:
            pass
    return _run(io)


class _Files:
    """The folder, as postconf asks for it."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def read(self, path: str) -> str:
        """The text of a file.  Raises OSError."""
        return self.folder.text(path)

    def write(self, path: str, text: str) -> None:
        """Replaces a file."""
        self.folder.write(path, to_bytes(text))


class _Terminal(Terminal):
    """Two streams."""

    def __init__(self, io: Io) -> None:
        super().__init__(io.name)
        self.io = io

    def write(self, text: str) -> None:
        """Standard output."""
        self.io.out(to_bytes(text))

    def flush(self) -> None:
        """Shows what is held back."""
        self.io.flush()

    def message(self, text: str) -> None:
        """Standard error output."""
        self.io.message(printable(text, "?"))


@program("postconf")
def run_postconf(io: Io) -> int:
    """The configuration."""
    site = site_of(io)
    result = postconf(
        io.args,
        _Files(site.folder),
        Host.of(site.system),
        process_id=7,
        map_types=dict_mapnames(),
        terminal=_Terminal(io),
    )
    if result.status:
        io.drop()
    return result.status


@program("bounce")
def run_bounce(io: Io) -> None:
    """The templates, by ``-n dump_templates``."""
    site = site_of(io)
    settings: dict[str, str] = {}
    words = list(io.args)
    wanted = ""
    while words:
        word = words.pop(0)
        if word == "-o":
            name, _, value = words.pop(0).partition("=")
            settings[name] = value
        elif word.endswith("_templates"):
            wanted = word
    process = site.bare_process("bounce", settings)
    process.log = IoLog(site.system, io, io.name, True)
    try:
        templates = Templates(process)
    except Fatal:
        raise Exit(1) from None
    if wanted.endswith("dump_templates"):
        lines = templates.dump()
    elif wanted.endswith("expand_templates"):
        lines = templates.expanded()
    else:
        raise NotHere(f"bounce {' '.join(io.args)}")
    for line in lines:
        io.out(f"{line}\n")
