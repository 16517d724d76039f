"""sendmail(1) - the interface that programs have known since long before Postfix.

DESCRIPTION
    Reads a message from standard input, up to its end or a line with nothing but a dot, and gives
    it to postdrop(1).  As ``mailq`` or ``newaliases``, or with the options for them, it does what
    those commands do.

    Options: ``-B`` body type; ``-bd``, ``-bl`` start the mail system; ``-bh``, ``-bH`` nothing;
    ``-bi``, ``-I`` newaliases; ``-bm`` deliver (the default); ``-bp`` mailq; ``-bs`` SMTP on
    standard input; ``-bv`` report what would be delivered; ``-C`` another configuration;
    ``-F`` full name; ``-f``, ``-r`` sender; ``-G`` the message is on its way, not new; ``-i``,
    ``-oi`` a lone dot is text; ``-N`` DSN NOTIFY; ``-oA`` alias database; ``-q`` flush, ``-qI`` one
    message, ``-qR`` one site; ``-R`` DSN RET; ``-t`` recipients from the headers; ``-V`` DSN
    envelope id; ``-v`` report the first delivery attempt; ``-XV`` VERP.  ``-A -c -e -h -L -m -O -o7
    -o8 -om -p -U -x`` are accepted and have no effect.

DIAGNOSTICS
    Exit status 0, or 75 (try again) after any error, be it of usage.

CONFIGURATION PARAMETERS
    alias_database, authorized_submit_users, default_verp_delimiters, header_size_limit,
    line_length_limit, message_drop_headers, message_size_limit, mime_boundary_length_limit,
    mime_nesting_limit, sendmail_fix_line_endings, syslog_name, verp_delimiter_filter
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from mta.commands.command import (
    COMMANDS,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    Command,
    CommandLog,
    command,
    main_cf_read,
)
from mta.commands.postdrop import postdrop, submit_refused
from mta.commands.sendmail_input import Submission, SubmissionError
from mta.commands.stand_alone import stand_alone
from mta.lib.cleanup_strerror import cleanup_strerror
from mta.lib.dsn_mask import dsn_notify_mask, dsn_ret_code
from mta.lib.requests import (
    CLEANUP_STAT_WRITE,
    DEL_REQ_FLAG_RECORD,
    DEL_REQ_FLAG_USR_VRFY,
)
from mta.system import Fatal, Wait
from mta.wire.text import to_bytes
from mta.wire.verp import verp_delims_verify

_ENQUEUE = "enqueue"
_NEWALIAS = "newaliases"
_MAILQ = "mailq"
_DAEMON = "daemon"
_USER = "user"
_FLUSHQ = "flushq"
_IGNORE = "ignore"

#: getopt(3)'s letters.
_LETTERS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
#: What ``-b`` selects.
_MODES = {
    "d": _DAEMON,
    "l": _DAEMON,
    "h": _IGNORE,
    "H": _IGNORE,
    "i": _NEWALIAS,
    "m": _ENQUEUE,
    "p": _MAILQ,
    "s": _USER,
}


@dataclass(slots=True)
class Options:
    """The command line."""

    mode: str
    recipients: list[str]
    submission: Submission
    site: str | None = None
    queue_id: str | None = None
    interval: str | None = None
    alias_database: str | None = None
    verbose: int = 0


@command("sendmail")
def sendmail(cmd: Command) -> Wait[int]:
    """``sendmail``."""
    return (yield from _run(cmd, _ENQUEUE))


@command("newaliases")
def newaliases(cmd: Command) -> Wait[int]:
    """``newaliases``."""
    return (yield from _run(cmd, _NEWALIAS))


@command("mailq")
def mailq(cmd: Command) -> Wait[int]:
    """``mailq``."""
    return (yield from _run(cmd, _MAILQ))


def _run(cmd: Command, mode: str) -> Wait[int]:
    try:
        parser = _Parser(cmd, mode)
        parser.scan()
        options = parser.parse()
        _check_conflicts(cmd, options)
        if options.interval is not None and options.mode != _DAEMON:
            return 0
        return (yield from _dispatch(cmd, options))
    except (Fatal, _Failed):
        return EX_TEMPFAIL


class _Failed(Exception):
    """The command has told why."""


def _fatal(cmd: Command, text: str) -> NoReturn:
    """``sendmail: fatal: TEXT``.  Whatever the reason, the exit status is that of a temporary
    failure: the error handler that Postfix installs sees to that.
    """
    cmd.process.log.info(f"fatal: {text}")
    raise _Failed


class _Parser:
    """Reads the command line."""

    def __init__(self, cmd: Command, mode: str) -> None:
        self.cmd = cmd
        submission = Submission(cmd.process, cmd.user, cmd.env.get("NAME"))
        self.options = Options(mode, [], submission)

    def scan(self) -> None:
        """Reads the command line for ``-C`` alone, and then ``main.cf``."""
        words = list(self.cmd.args)
        directory = ""
        while words:
            word = words[0]
            if word == "-q":
                words.pop(0)
                continue
            if not word.startswith("-") or word == "-":
                break
            words.pop(0)
            if word == "--":
                break
            for letter, argument in self._letters(word[1:], words):
                if letter == "?":
                    self.cmd.write(argument)
                elif letter == "C":
                    directory = argument
        if directory.rpartition("/")[2] == "main.cf":
            directory = directory.rpartition("/")[0] or "/"
        self.cmd.read_main_cf(directory, EX_TEMPFAIL)

    def parse(self) -> Options:
        """The options, and what is left as recipients."""
        words = list(self.cmd.args)
        options = self.options
        warn = self.cmd.process.log.warning
        while words:
            word = words[0]
            if word == "-q":
                if options.mode == _DAEMON:
                    warn("ignoring -q option in daemon mode")
                else:
                    options.mode = _FLUSHQ
                words.pop(0)
                continue
            if word == "-V" and len(words) > 1 and len(to_bytes(words[1])) == 2:
                warn("option -V is deprecated with Postfix 2.3; specify -XV instead")
                word = "-XV"
            elif word.startswith("-V") and len(to_bytes(word)) == 4:
                warn(
                    f"option {word} is deprecated with Postfix 2.3; specify -X{word[1:]} instead"
                )
                word = f"-X{word[1:]}"
            words[0] = word
            if word == "-XV":
                options.submission.verp_delims = self.cmd.process.conf.default_verp_delimiters
                words.pop(0)
                continue
            if not word.startswith("-") or word == "-":
                break
            words.pop(0)
            if word == "--":
                break
            for letter, argument in self._letters(word[1:], words):
                if letter == "?":
                    self.cmd.write(argument)
                    self._usage(f"usage: {self.cmd.name} [options]")
                self._option(letter, argument)
        options.recipients = words
        return options

    def _letters(self, rest: str, words: list[str]) -> Iterator[tuple[str, str]]:
        """The letters of one word, and their arguments; ``?`` with what getopt(3) says of a bad
        one.
        """
        name = self.cmd.name
        while rest:
            letter, rest = rest[0], rest[1:]
            place = _LETTERS.find(letter)
            argument = ""
            if place < 0 or letter == ":":
                yield "?", f"{name}: invalid option -- '{letter}'\n"
                continue
            if _LETTERS[place + 1 : place + 2] == ":":
                if not rest and not words:
                    yield "?", f"{name}: option requires an argument -- '{letter}'\n"
                    return
                argument = rest or words.pop(0)
                rest = ""
            yield letter, argument

    def _usage(self, text: str) -> NoReturn:
        _fatal(self.cmd, text)

    def _option(self, letter: str, argument: str) -> None:
        options, submission = self.options, self.options.submission
        warn = self.cmd.process.log.warning
        if letter == "n":
            self._usage("-n option not supported")
        elif letter == "B":
            encodings = {"8BITMIME": "8bit", "7BIT": "7bit"}
            if argument not in encodings:
                self._usage("-B option needs 8BITMIME or 7BIT")
            submission.encoding = encodings[argument]
        elif letter == "F":
            submission.full_name = argument
        elif letter == "G":
            submission.rewrite_context = "remote"
        elif letter == "I":
            options.mode = _NEWALIAS
        elif letter == "N":
            submission.dsn_notify = dsn_notify_mask(self.cmd.process.log, argument)
            if not submission.dsn_notify:
                warn("bad -N option value -- ignored")
        elif letter == "R":
            submission.dsn_ret = dsn_ret_code(argument)
            if not submission.dsn_ret:
                warn("bad -R option value -- ignored")
        elif letter == "V":
            if len(to_bytes(argument)) > 100:
                warn("too long -V option value -- ignored")
            elif not (argument.isascii() and argument.isprintable()):
                warn("bad syntax in -V option value -- ignored")
            else:
                submission.dsn_envid = argument
        elif letter == "X":
            self._verp(argument)
        elif letter == "b":
            self._mode(argument)
        elif letter in "fr":
            submission.sender = argument
        elif letter == "i":
            submission.dot_ends = False
        elif letter == "o":
            self._old(argument)
        elif letter == "q":
            self._queue(argument)
        elif letter == "t":
            submission.extract = True
        elif letter == "v":
            options.verbose += 1

    def _verp(self, argument: str) -> None:
        if argument[:1] != "V":
            self._usage(f"unsupported: -X{argument[:1]}")
        allowed = self.cmd.process.conf.verp_delimiter_filter
        if verp_delims_verify(argument[1:], allowed) is not None:
            self._usage(f"-V requires two characters from {allowed}")
        self.options.submission.verp_delims = argument[1:]

    def _mode(self, argument: str) -> None:
        what = argument[:1]
        if what == "v":
            self.options.submission.trace_flags |= DEL_REQ_FLAG_USR_VRFY
        elif what in _MODES:
            if _MODES[what] == _DAEMON and self.options.mode == _FLUSHQ:
                self.cmd.process.log.warning("ignoring -q option in daemon mode")
            self.options.mode = _MODES[what]
        else:
            self._usage(f"unsupported: -b{what}")

    def _old(self, argument: str) -> None:
        """``-o``: options of Sendmail's configuration file."""
        if argument[:1] == "A":
            if len(argument) == 1:
                self._usage("-oA requires pathname")
            self.options.alias_database = argument[1:]
        elif argument[:1] == "i":
            self.options.submission.dot_ends = False

    def _queue(self, argument: str) -> None:
        what = argument[:1]
        if what.isascii() and what.isdigit():
            self.options.interval = argument
        elif what == "R":
            if len(argument) == 1:
                self._usage("specify: -qRsitename")
            self.options.site = argument[1:]
        elif what == "I":
            if len(argument) == 1:
                self._usage("specify: -qIqueueid")
            self.options.queue_id = argument[1:]
        else:
            self._usage(f"-q{what} is not implemented")


def _check_conflicts(cmd: Command, options: Options) -> None:
    """Options that do not go together.  A single ``-v`` asks for a report."""
    submission = options.submission
    if options.mode != _ENQUEUE:
        for given, what in (
            (submission.extract, "-t"),
            (options.site, "-qR"),
            (options.queue_id, "-qI"),
        ):
            if given:
                _fatal(cmd, f"{what} can be used only in delivery mode")
    if submission.trace_flags & DEL_REQ_FLAG_USR_VRFY:
        for also, what in (
            (submission.extract, "-t"),
            (submission.dsn_notify, "-N"),
            (submission.dsn_ret, "-R"),
            (options.verbose == 1, "-v"),
        ):
            if also:
                _fatal(cmd, f"{what} option cannot be used with -bv")
    if options.verbose == 1 and options.mode == _ENQUEUE:
        options.verbose = 0
        submission.trace_flags |= DEL_REQ_FLAG_RECORD


def _dispatch(cmd: Command, options: Options) -> Wait[int]:
    mode = options.mode
    if mode == _ENQUEUE:
        if options.site is not None:
            _no_recipients(cmd, options, "flush site requires no recipient")
            return (yield from _other(cmd, "postqueue", "-s", options.site))
        if options.queue_id is not None:
            _no_recipients(cmd, options, "flush queue_id requires no recipient")
            return (yield from _other(cmd, "postqueue", "-i", options.queue_id))
        return (yield from _enqueue(cmd, options))
    if mode == _MAILQ:
        _no_recipients(cmd, options, "display queue mode requires no recipient")
        return (yield from _other(cmd, "postqueue", "-p"))
    if mode == _FLUSHQ:
        _no_recipients(cmd, options, "flush queue mode requires no recipient")
        return (yield from _other(cmd, "postqueue", "-f"))
    if mode == _NEWALIAS:
        _no_recipients(cmd, options, "alias initialization mode requires no recipient")
        database = options.alias_database
        if database is None:
            database = cmd.process.conf.alias_database
        words = database.replace(",", " ").split()
        return (yield from _other(cmd, "postalias", *words)) if words else 0
    if mode == _DAEMON:
        _no_recipients(cmd, options, "daemon mode requires no recipient")
        yield from _other(cmd, "postfix", "start")
        return 0
    if mode == _USER:
        _no_recipients(cmd, options, "stand-alone mode requires no recipient")
        yield from _check_acl(cmd)
        return (yield from stand_alone(cmd))
    return 0


def _check_acl(cmd: Command) -> Wait[None]:
    refused = yield from submit_refused(cmd)
    if refused is not None:
        _fatal(cmd, refused)


def _no_recipients(cmd: Command, options: Options, text: str) -> None:
    if options.recipients:
        _fatal(cmd, text)


def _other(cmd: Command, name: str, *args: str) -> Wait[int]:
    """Another command in place of this one."""
    run = COMMANDS.get(name)
    if run is None:
        cmd.process.log.warning(f"{name} {' '.join(args)} is not implemented")
        return EX_UNAVAILABLE
    cmd.name = name
    cmd.args = list(args)
    log = cmd.process.log
    if hasattr(log, "name"):
        log.name = name
    log.tag = f"{cmd.process.conf.syslog_name}/{name}"
    try:
        return (yield from run(cmd))
    except Fatal:
        return 1


def _enqueue(cmd: Command, options: Options) -> Wait[int]:
    """Posts one message."""
    yield from _check_acl(cmd)
    submission = options.submission
    try:
        records = submission.records(options.recipients, cmd.stdin)
    except SubmissionError as error:
        _fatal(cmd, str(error.args[0]))
    process = cmd.process.master.new_process("postdrop")
    process.log = CommandLog(
        process.system, process.log.tag, process.pid, "postdrop", cmd.output, quiet=False
    )
    process.log.conf = process.conf
    main_cf_read(process)
    who = f"{submission.saved_sender}({cmd.user.uid})"
    try:
        status = yield from postdrop(process, cmd.user, records)
    except Fatal:
        status = CLEANUP_STAT_WRITE
    if status:
        _fatal(cmd, f"{who}: {cleanup_strerror(status)}")
    if submission.trace_flags:
        cmd.write(
            f"Mail Delivery Status Report will be mailed to <{submission.saved_sender}>.\n"
        )
    return 0
