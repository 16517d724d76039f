"""The configuration as one process sees it.

Three things are kept apart: the text of ``main.cf`` (:mod:`mta.conf.files`), the names and raw
values in it, and this view: raw values with the ``-o`` of the process's ``master.cf`` entry, its
program's defaults, and the facts of its host.

    conf = Conf(main, program="smtpd", host=host, overrides={"smtpd_timeout": "10"})
    conf.smtpd_timeout        # 10

Every parameter is an attribute, evaluated when it is first read.  A bad value raises
:class:`~mta.conf.errors.ConfError` then; :meth:`Conf.check_set` reads all that the program loads
when it starts, so that a bad value kills it there, as in Postfix.  What is met later kills the
process (``die``) that meets it.

``$name`` is what the process knows by that name when it evaluates the text: what is set in
``main.cf`` or with ``-o``, and the defaults that the program has loaded before
(:mod:`mta.conf.loads`).  Anything else is empty.  A parameter that the program does not load at
all can be read too; then all names are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, wraps
from typing import Concatenate, NoReturn, ParamSpec, TypeVar

from mta.conf import interfaces, startup
from mta.conf.errors import ConfError, ConfPanic
from mta.conf.host import Host
from mta.conf.kinds import (
    Parameter,
    Time,
    check_number,
    check_time,
    check_unit,
    convert_bool,
    convert_int,
    convert_time,
)
from mta.conf.loads import LOADS
from mta.conf.main_cf import MainCf
from mta.conf.params import Parameters
from mta.system import Interface
from mta.util.mac_expand import MacError, compile_macro

P = ParamSpec("P")
T = TypeVar("T")

#: Parameters by their names.
PARAMETERS: dict[str, Parameter[object]] = {
    parameter.name: parameter
    for parameter in vars(Parameters).values()
    if isinstance(parameter, Parameter)
}

#: After all that the program loads.
_LATEST = 1 << 30

#: When all parameters are known, also those that the program does not load.
_EVERYTHING = _LATEST + 1


def _positions(program: str) -> dict[str, int]:
    """When a program loads each of its parameters; of an unknown program nothing is known."""
    if program not in LOADS:
        return {}
    names = (*LOADS["common"], "process_id", *LOADS[program])
    return {name: index for index, name in reversed(list(enumerate(names)))}


_POSITIONS: dict[str, dict[str, int]] = {}


def _deadly(method: Callable[Concatenate[Conf, P], T]) -> Callable[Concatenate[Conf, P], T]:
    """A method that may meet a bad value: the process that asks dies of it."""

    @wraps(method)
    def asked(self: Conf, /, *args: P.args, **more: P.kwargs) -> T:
        try:
            return method(self, *args, **more)
        except ConfError as error:
            if self.die is None:
                raise
            self.die(error)

    return asked


class Conf(Parameters):
    """The view of one process.

    ``main`` is what ``main.cf`` says (parsed, or a mapping of names to raw texts), ``program`` the
    name of the executable (``smtpd``; ``lmtp`` is the SMTP client that speaks LMTP), ``overrides``
    the ``-o`` of ``master.cf``.  With ``lmtp`` an attribute ``smtp_something`` is the parameter
    ``lmtp_something`` where both name one variable of the client.  ``warn`` is called with the text
    of each warning; without it they are collected in ``warnings``.
    """

    def __init__(
        self,
        main: MainCf | Mapping[str, str],
        *,
        program: str = "",
        host: Host | None = None,
        overrides: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        lmtp: bool | None = None,
        config_directory: str = "/etc/postfix",
        process_id: int = 1,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.main = main if isinstance(main, MainCf) else MainCf.of(main)
        self.program = program
        self.host = host if host is not None else Host("localhost.localdomain")
        self.lmtp = program == "lmtp" if lmtp is None else lmtp
        if self.lmtp:
            self.program = "lmtp"
        #: What a running process does about a value that it meets too late; else it is raised.
        self.die: Callable[[ConfError], NoReturn] | None = None
        self.warnings: list[str] = []
        self.warn = warn if warn is not None else self.warnings.append
        #: What is set: by ``main.cf``, ``-o``, or the process itself; raw.
        self.settings: dict[str, str] = {
            "process_name": program,
            "config_directory": config_directory,
            **self.main.values,
            **dict(overrides),
        }
        # A process knows its own number better than any file.
        self.settings.pop("process_id", None)
        self._process_id = process_id
        self.was_updated = False  #: whether the process changed its own settings
        self._stored: dict[str, str] = {}
        #: Defaults that are being worked out.
        self._open: list[str] = []
        positions = _POSITIONS.get(self.program)
        if positions is None:
            positions = _POSITIONS[self.program] = _positions(self.program)
        self._positions = positions
        self._latest = _LATEST if positions else _EVERYTHING
        self._aliases = LMTP_NAMES if self.lmtp else _NO_ALIASES

    def for_process(
        self,
        program: str,
        main: MainCf | Mapping[str, str] | None = None,
        overrides: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        process_id: int | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> Conf:
        """The view of another process on the same host (by default with the same ``main.cf``)."""
        return Conf(
            self.main if main is None else main,
            program=program,
            host=self.host,
            overrides=overrides,
            config_directory=self.settings["config_directory"],
            process_id=self._process_id if process_id is None else process_id,
            warn=warn,
        )

    def clone(self, process_id: int, warn: Callable[[str], None]) -> Conf:
        """The same view for another process of the same kind: what was evaluated stays so."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._stored = self._stored.copy()
        twin._open = []
        twin.__dict__.pop("process_id", None)
        if "process_id" in self._stored:
            twin._forget()
        twin._process_id = process_id
        twin.die = None
        twin.warnings = []
        twin.warn = warn
        return twin

    # What is set, raw.

    def is_set(self, name: str) -> bool:
        """Whether a parameter is set in ``main.cf`` or with ``-o``."""
        return name in self.settings

    def update(self, name: str, value: str) -> None:
        """Sets a raw value, as a process does to itself (``mail_conf_update``)."""
        self.was_updated = True
        self.settings = {**self.settings, name: value}  # clones have the old ones
        self._forget()

    def _forget(self) -> None:
        """Forgets what was evaluated."""
        self._stored.clear()
        for attribute in [a for a in self.__dict__ if a in _ATTRIBUTES or a in _COMPUTED]:
            del self.__dict__[attribute]

    def raw(self, name: str) -> str:
        """A parameter's text, not expanded: what is set, or else the default; empty if unknown."""
        return self.lookup(name) or ""

    def lookup(self, name: str) -> str | None:
        """What the running process knows by a name, not expanded (``mail_conf_lookup``)."""
        return self._lookup(name, self._latest)

    # Expanded.

    def get(self, name: str, default: str = "") -> str:
        """A parameter's text, expanded; the default (expanded too) where there is none.

        For names that are not built in (user-defined parameters, restriction classes).
        """
        value = self.lookup(name)
        return self.expand(value if value is not None else default)

    def lookup_eval(self, name: str) -> str | None:
        """As :meth:`get`; None where the process knows no such name (``mail_conf_lookup_eval``)."""
        value = self.lookup(name)
        return None if value is None else self.expand(value)

    @_deadly
    def expand(self, text: str) -> str:
        """A text with all ``$name`` expanded, recursively (``mail_conf_eval``)."""
        if "$" not in text:
            return text
        return self._expand(text, self._latest)

    @_deadly
    def expand_once(self, text: str) -> str:
        """A text with ``$name`` replaced by raw values (``mail_conf_eval_once``)."""
        return self._expand(text, self._latest, recursive=False)

    @_deadly
    def expand_at(self, name: str, text: str) -> str:
        """A text expanded with what the process knows when it loads the parameter ``name``."""
        return self._expand(text, self._positions.get(name, _EVERYTHING))

    # Parameters with names made at run time.

    @_deadly
    def service_int(
        self, service: str, suffix: str, default: int, min: int = 0, max: int = 0
    ) -> int:
        """The number ``<service><suffix>``, or the default (``get_mail_conf_int2``)."""
        name = service + suffix
        text = self.lookup_eval(name)
        number = default if text is None else convert_int(name, text)
        return check_number(name, number, min, max)

    @_deadly
    def service_time(
        self, service: str, suffix: str, default: int, unit: str = "s", min: int = 0, max: int = 0
    ) -> int:
        """The time ``<service><suffix>``, or the default, in seconds (``get_mail_conf_time2``)."""
        name = service + suffix
        text = self.lookup_eval(name)
        seconds = default if text is None else convert_time(name, text, unit)
        return check_time(name, seconds, min, max)

    @_deadly
    def service_str(
        self, service: str, suffix: str, default: str, min: int = 0, max: int = 0
    ) -> str:
        """The text ``<service><suffix>``, or the default, expanded (``get_mail_conf_str2``)."""
        name = service + suffix
        text = self.get(name, default)
        size = len(text.encode("utf-8", "surrogateescape"))
        if min and size < min:
            raise ConfError(f"bad string length {size} < {min}: {name} = {text}")
        if max and size > max:
            raise ConfError(f"bad string length {size} > {max}: {name} = {text}")
        return text

    @_deadly
    def service_bool(self, service: str, suffix: str, default: bool) -> bool:
        """The switch ``<service><suffix>``, or the default (``get_mail_conf_bool``)."""
        name = service + suffix
        text = self.lookup_eval(name)
        return default if text is None else convert_bool(name, text)

    # Start of a process.

    def check_set(self, program: str | None = None) -> None:
        """Reads what the program loads when it starts.

        Logs warnings through ``warn`` and raises ConfError with the first thing that is wrong, in
        Postfix's order.  With the name of another table of LOADS (``tls``): reads only that.
        """
        if program is None or program == self.program:
            startup.check(self)
        else:
            self.load(LOADS[program])

    def load(self, names: Iterable[str]) -> None:
        """Reads parameters, in order, unless nothing can be wrong with them."""
        settings = self.settings
        for name in names:
            parameter = PARAMETERS[name]
            if name in settings or not parameter.fixed:
                value = self.evaluate(parameter, own=True)
                if name not in self._aliases:
                    self.__dict__[parameter.attribute] = value

    # Addresses.

    @cached_property
    def protocols(self) -> tuple[int, ...]:
        """The IP versions in use: of 4 and 6, in this order (``inet_protocols``)."""
        return interfaces.protocols(self)

    @cached_property
    def own_interfaces(self) -> tuple[Interface, ...]:
        """Where mail is received: ``inet_interfaces`` as addresses with their prefix lengths."""
        return interfaces.own_interfaces(self)

    @cached_property
    def own_addresses(self) -> tuple[str, ...]:
        """Where mail is received: the addresses of ``inet_interfaces``."""
        return tuple(interface.address for interface in self.own_interfaces)

    @cached_property
    def proxy_addresses(self) -> tuple[str, ...]:
        """The addresses of ``proxy_interfaces``."""
        return interfaces.proxy_addresses(self)

    def addresses_of(self, name: str) -> list[str]:
        """The addresses of a host by the hosts file, or of a numeric address, in use here."""
        return interfaces.addresses_of(self, name)

    # Compatibility levels.

    @property
    def compat_level(self) -> int:
        """``compatibility_level`` as a number."""
        return self.compatibility_level

    def _legacy(self, level: int, *names: str) -> bool:
        return self.compat_level < level and not any(name in self.settings for name in names)

    @property
    def warn_compat_break_relay_domains(self) -> bool:
        """Whether to log where ``relay_domains`` is in use with its old default."""
        return self._legacy(2, "relay_domains")

    @property
    def warn_compat_break_flush_domains(self) -> bool:
        """Whether to log where ``fast_flush_domains`` is in use with its old default."""
        return self._legacy(2, "relay_domains", "fast_flush_domains")

    @property
    def warn_compat_break_mynetworks_style(self) -> bool:
        """Whether to log where ``mynetworks_style`` is in use with its old default."""
        return self._legacy(2, "mynetworks", "mynetworks_style")

    @property
    def warn_compat_break_app_dot_mydomain(self) -> bool:
        """Whether to log where ``append_dot_mydomain`` is in use with its old default."""
        return self._legacy(1, "append_dot_mydomain")

    @property
    def warn_compat_break_smtputf8_enable(self) -> bool:
        """Whether to log where ``smtputf8_enable`` is in use with its old default."""
        return self._legacy(1, "smtputf8_enable")

    @property
    def warn_compat_break_chroot(self) -> bool:
        """Whether to log where ``chroot`` of ``master.cf`` is in use with its old default."""
        return self._legacy(1)

    # Evaluation.

    @_deadly
    def evaluate(self, parameter: Parameter[object], own: bool = False) -> object:
        """The value of a parameter (what its attribute gives).

        ``own``: no alias is taken for it.
        """
        name = parameter.name
        if not own and name in self._aliases:
            other = self._aliases[name]
            return getattr(self, other) if isinstance(other, str) else other[0]
        text = self.settings.get(name)
        if text is None and parameter.fixed:
            return self._process_id if name == "process_id" else parameter.value
        position = self._positions.get(name, _EVERYTHING)
        default = parameter.default
        if isinstance(parameter, Time):
            default = self._expand(default, position)
            check_unit(name, default, parameter.default)
        if text is None:
            text = self._default(parameter)
        if parameter.expands and "$" in text:
            text = self._expand(text, position)
        return parameter.convert(text, default)

    def _default(self, parameter: Parameter[object]) -> str:
        """What a process notes as the value of a parameter that is not set."""
        name = parameter.name
        if name == "process_id":
            # Noted, since what depends on it is different in each process.
            self._stored[name] = str(self._process_id)
            return self._stored[name]
        if parameter.fixed:
            return parameter.default
        stored = self._stored.get(name)
        if stored is None:
            self._open.append(name)
            try:
                stored = self._stored[name] = self._work_out(parameter)
            finally:
                self._open.pop()
        return stored

    def _work_out(self, parameter: Parameter[object]) -> str:
        if parameter.function:
            return startup.compute(self, parameter.function)
        if parameter.kind == "str":
            position = self._positions.get(parameter.name, _EVERYTHING)
            return self._expand(parameter.default, position)
        return parameter.default

    def _lookup(self, name: str, position: int) -> str | None:
        value = self.settings.get(name)
        if value is not None:
            return value
        if self._positions.get(name, _LATEST) < position:
            parameter = PARAMETERS.get(name)
            if parameter is not None:
                if name not in self._open:
                    return self._default(parameter)
                # It depends on itself: a rule does not know it yet, a text goes round and round.
                return None if parameter.function else parameter.default
        return None

    def _expand(self, text: str, position: int, recursive: bool = True) -> str:
        macro = compile_macro(text)
        if macro.constant is not None:
            return macro.constant
        try:
            expansion = macro.expand(lambda name: self._lookup(name, position), recursive=recursive)
        except MacError as error:
            for warning in error.warnings:
                self.warn(warning)
        except RecursionError:
            # Many long chains, one in the other; Postfix gives up at the length of each.
            self.warn(f'unreasonable macro call nesting: "{text}"')
        else:
            return expansion.text
        raise ConfError("dictionary mail_dict: macro processing error") from None


_ATTRIBUTES = {parameter.attribute for parameter in PARAMETERS.values()}

_COMPUTED = ("protocols", "own_interfaces", "own_addresses", "proxy_addresses")

_NO_ALIASES: dict[str, str | tuple[object]] = {}

#: The variables of the SMTP client that LMTP parameters set: the name of the SMTP parameter, and
#: the LMTP parameter, or the fixed value that it has there.
LMTP_NAMES: dict[str, str | tuple[object]] = {
    **{
        "smtp_" + name[5:]: name
        for name in LOADS["lmtp"]
        if name[:5] == "lmtp_" and "smtp_" + name[5:] in LOADS["smtp"]
    },
    "smtp_helo_timeout": "lmtp_lhlo_timeout",
    "smtp_helo_name": "lmtp_lhlo_name",
    "smtp_discard_ehlo_keywords": "lmtp_discard_lhlo_keywords",
    "smtp_discard_ehlo_keyword_address_maps": "lmtp_discard_lhlo_keyword_address_maps",
    "smtp_fallback_relay": ("",),
    "ignore_mx_lookup_error": (False,),
    "smtp_always_send_ehlo": (False,),
    "smtp_never_send_ehlo": (False,),
}

__all__ = ["LMTP_NAMES", "PARAMETERS", "Conf", "ConfError", "ConfPanic"]
