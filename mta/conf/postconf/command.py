"""The command line of postconf(1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mta.conf.host import Host
from mta.conf.postconf.edit import edit_main, edit_master
from mta.conf.postconf.session import (
    CLIENT_SASL_TYPES,
    LOCK_TYPES,
    MAP_TYPES,
    SERVER_SASL_TYPES,
    ConfFiles,
    Kind,
    Session,
    Templates,
)
from mta.conf.postconf.show import show_entries, show_fields, show_parameters, show_params
from mta.conf.postconf.terminal import PostconfExit, Terminal
from mta.conf.postconf.user import flag_unused, register_user
from mta.util.name_mask import NameMaskError, name_mask
from mta.util.scalars import split_name_value

_KNOWN = "aAbCcdeEfFhlmMnopPtvxX#"
_WITH_VALUE = "cCo"
#: Options in the order in which messages name them.
_ORDER = "aAbCdefFhlmMnopPtxX#"
_MODES = "aAblmtpMFP"

#: Options of which there can be but one.
_EXCLUSIVE = (_MODES, "den#X", "fe#X", "xe#X", "ode#X", "he#X")

#: The options that go along with a mode.
_COMPATIBLE = {
    "a": "",
    "A": "",
    "b": "",
    "l": "",
    "m": "",
    "t": "",
    "p": "eX#fhCxdno",
    "M": "eX#fox",
    "F": "efhox",
    "P": "eXfhox",
    "C": "pdn",
}

_CLASSES = {
    "builtin": Kind.BUILTIN.value,
    "service": Kind.SERVICE.value,
    "user": Kind.USER.value,
    "all": Kind.ALL.value,
}

_USAGE = (
    "usage: {} [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)]"
    " [-c config_dir] [-c param_class] [-d (parameter defaults)] [-e (edit configuration)]"
    " [-f (fold lines)] [-F (master.cf fields)] [-h (no names)] [-l (lock types)]"
    " [-m (map types)] [-M (master.cf)] [-n (non-default parameters)]"
    " [-o name=value (override parameter value)] [-p (main.cf, default)]"
    " [-P (master.cf parameters)] [-t (bounce templates)] [-v (verbose)]"
    " [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]"
)


@dataclass(frozen=True, slots=True)
class PostconfResult:
    """What the command did: its exit status, and what it showed."""

    status: int
    output: bytes


def postconf(
    arguments: Sequence[str],
    files: ConfFiles,
    host: Host,
    *,
    program: str = "postconf",
    process_id: int = 0,
    map_types: Sequence[str] = MAP_TYPES,
    templates: Templates | None = None,
    terminal: Terminal | None = None,
) -> PostconfResult:
    """Runs ``postconf`` with arguments (without the name of the program).

    ``templates`` shows the templates of bounce(8) for ``-b`` and ``-t``; ``terminal`` is where it
    writes.
    """
    terminal = Terminal(program) if terminal is None else terminal
    session = Session(files, host, terminal, process_id, templates=templates)
    command = _Command(session, map_types)
    status = 0
    try:
        command.run(list(arguments))
        session.terminal.flush()
    except PostconfExit as end:
        status = int(end.args[0])
    return PostconfResult(status, session.terminal.output)


class _Command:
    """Options, and what they ask for."""

    def __init__(self, session: Session, map_types: Sequence[str]) -> None:
        self.session = session
        self.map_types = map_types
        self.classes = Kind.ALL
        self.overrides: list[str] = []
        self.verbose = False

    def run(self, arguments: list[str]) -> None:
        """Parses the command line and does what it says."""
        session = self.session
        options = session.options
        names = self.parse(arguments)
        if not options.intersection(_MODES):
            options.add("p")
        if options.intersection("pMFP") and names and "=" in names[0]:
            options.add("e")
        self.check()
        if self.verbose:
            options.add("v")
        if "e" in options and not names:
            session.terminal.fatal("-e requires name=value argument")
        if options.intersection("bt"):
            self.show_templates(names)
        elif "m" in options:
            session.read_main()
            self.show_list(self.map_types)
        elif "l" in options:
            self.show_list(LOCK_TYPES)
        elif options.intersection("MFP") and not options.intersection("eX#"):
            self.show_master(names)
        elif "a" in options:
            self.show_list(SERVER_SASL_TYPES)
        elif "A" in options:
            self.show_list(CLIENT_SASL_TYPES)
        elif options.intersection("eX#"):
            if not names:
                session.terminal.fatal("missing service argument")
            if options.intersection("MFP"):
                edit_master(session, names)
            else:
                edit_main(session, names)
        else:
            self.show_main(names)

    # The command line.

    def parse(self, arguments: list[str]) -> list[str]:
        """Takes the options; what is left are names."""
        while arguments:
            word = arguments[0]
            if word == "--":
                return arguments[1:]
            if len(word) < 2 or word[0] != "-":
                break
            arguments.pop(0)
            for index, letter in enumerate(word[1:], 1):
                if letter not in _KNOWN:
                    self.session.terminal.message(f"invalid option -- '{letter}'")
                    self.usage()
                if letter not in _WITH_VALUE:
                    self.option(letter, "")
                    continue
                value = word[index + 1 :]
                if not value:
                    if not arguments:
                        self.session.terminal.message(f"option requires an argument -- '{letter}'")
                        self.usage()
                    value = arguments.pop(0)
                self.option(letter, value)
                break
        return arguments

    def usage(self) -> None:
        """Ends with the summary of options."""
        self.session.terminal.fatal(_USAGE.format(self.session.terminal.program))

    def option(self, letter: str, value: str) -> None:
        """One option."""
        session = self.session
        if letter == "E":
            self.usage()
        elif letter == "c":
            session.config_directory = value
        elif letter == "C":
            try:
                mask = name_mask("-C option", _CLASSES, value, any_case=True)
            except NameMaskError as error:
                session.terminal.fatal(error.args[0])
            self.classes = Kind(mask)
        elif letter == "v":
            self.verbose = True
        else:
            if letter in "bt" and session.options.intersection("bt"):
                session.terminal.fatal("specify one of -b and -t")
            session.options.add(letter)
            if letter == "o":
                self.overrides.append(value)

    def check(self) -> None:
        """Options that contradict each other, or have no effect together."""
        options = self.session.options
        for group in _EXCLUSIVE:
            if len(options.intersection(group)) > 1:
                self.session.terminal.fatal(f"specify one of {_named(options.intersection(group))}")
        for mode, others in _COMPATIBLE.items():
            excess = options.difference(mode, others)
            if mode in options and excess:
                self.session.terminal.fatal(
                    f"with option {_named({mode})}, do not specify {_named(excess)}"
                )

    # Showing.

    def show_list(self, words: Sequence[str]) -> None:
        """Words, one a line."""
        self.session.terminal.write("".join(word + "\n" for word in words))

    def read_settings(self) -> None:
        """Reads ``main.cf`` and takes the ``-o`` of the command line."""
        session = self.session
        session.read_main()
        for override in self.overrides:
            pair = split_name_value(override)
            if isinstance(pair, str):
                session.terminal.fatal(f"invalid parameter override: {override}: {pair}")
            session.settings[pair[0]] = pair[1]

    def show_master(self, names: Sequence[str]) -> None:
        """``-M``, ``-F``, ``-P``."""
        session = self.session
        session.read_master(required=True)
        self.read_settings()
        session.register_builtin()
        session.register_services()
        register_user(session)
        if "F" in session.options:
            show_fields(session, names)
        elif "P" in session.options:
            show_params(session, names)
        else:
            show_entries(session, names)

    def show_main(self, names: Sequence[str]) -> None:
        """Parameters."""
        session = self.session
        defaults = "d" in session.options
        if not defaults:
            self.read_settings()
        session.register_builtin()
        session.read_master(required=False)
        session.register_services()
        if not defaults:
            register_user(session)
        show_parameters(session, self.classes, names)
        if not defaults:
            flag_unused(session)

    def show_templates(self, names: Sequence[str]) -> None:
        """``-b``, ``-t``."""
        session = self.session
        if len(names) > 1:
            session.terminal.fatal("options -b and -t require at most one template file")
        overrides = {"bounce_template_file": names[0]} if names else {}
        main = session.read_main()
        if session.templates is None:
            session.terminal.fatal("not implemented: the templates of bounce(8)")
        status, text = session.templates(
            "b" in session.options, main, {**overrides, "queue_directory": "."}
        )
        session.terminal.write(text)
        session.terminal.flush()
        raise PostconfExit(status)


def _named(options: set[str]) -> str:
    return " ".join("-" + letter for letter in _ORDER if letter in options)
