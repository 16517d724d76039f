"""The classes of parameters: how the text of a parameter becomes a value.

Each class is a descriptor: an attribute of :class:`mta.conf.conf.Conf` that is computed when it is
first read, and then kept in the instance.  The classes are those of mail_conf(3):

* :class:`Str`: a text, expanded when the program loads it; bounds are lengths in bytes;
* :class:`Raw`: a text that is not expanded;
* :class:`Int`, :class:`Long`: a number; the default is one too;
* :class:`Bool`: ``yes`` or ``no``, in any case; the default is one of both;
* :class:`Time`: seconds; a bare number has the unit of the evaluated default;
* :class:`NInt`, :class:`NBool`: as above with an expression as default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from mta.conf.errors import ConfError, ConfPanic
from mta.util.scalars import conv_time, parse_int, parse_long
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.conf.conf import Conf

T = TypeVar("T")


class Parameter(Generic[T]):
    """A parameter: its ``name``, ``default`` (as ``postconf -d`` shows it) and bounds (0: none).

    ``function`` names the rule that computes the default of those few that have no text.
    """

    #: The letter of the class in tables and messages.
    kind: ClassVar[str] = ""
    #: Whether the text is expanded.
    expands: ClassVar[bool] = True

    def __init__(self, default: str, *, min: int = 0, max: int = 0, function: str = "") -> None:
        self.name = ""
        self.attribute = ""
        self.default = default
        self.min = min
        self.max = max
        self.function = function
        #: Whether the default is good and the same in every process.
        self.fixed = not function and not ("$" in default and self.expands)
        #: The value of a fixed default.
        self.value: T | None = None

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute
        self.name = attribute[1:] if attribute[:1] == "_" else attribute
        if self.fixed:
            try:
                self.value = self.convert(self.default, self.default)
            except ConfError:
                # virtual_mailbox_base must be set, says virtual(8) when it starts.
                self.fixed = False

    @overload
    def __get__(self, conf: None, owner: type) -> Self: ...

    @overload
    def __get__(self, conf: Conf, owner: type) -> T: ...

    def __get__(self, conf: Any, owner: type) -> Any:
        if conf is None:
            return self
        value = conf.evaluate(self)
        conf.__dict__[self.attribute] = value
        return value

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that load it, by the names of :data:`mta.conf.loads.LOADS`."""
        from mta.conf.loads import programs_of

        return programs_of(self.name)

    def convert(self, text: str, default: str) -> T:
        """The value of an (expanded) text.  Raises ConfError with Postfix's fatal text.

        ``default`` is the evaluated default, which matters for the unit of times.
        """
        raise NotImplementedError


class Str(Parameter[str]):
    """A text."""

    kind = "str"

    def convert(self, text: str, default: str) -> str:
        """The text itself, when its length in bytes is within the bounds."""
        if self.min or self.max:
            check_length("bad string length {} {} {}: {} = {}", self, text)
        return text


class Raw(Parameter[str]):
    """A text that is not expanded."""

    kind = "raw"
    expands = False

    def convert(self, text: str, default: str) -> str:
        """The text itself, when its length in bytes is within the bounds."""
        if self.min or self.max:
            check_length("bad string length ({} {} {}): {} = {}", self, text)
        return text


def check_length(form: str, parameter: Parameter[str], text: str) -> None:
    """Raises ConfError for a text that is too short or too long."""
    size = len(to_bytes(text))
    if parameter.min and size < parameter.min:
        raise ConfError(form.format(size, "<", parameter.min, parameter.name, text))
    if parameter.max and size > parameter.max:
        raise ConfError(form.format(size, ">", parameter.max, parameter.name, text))


def check_number(name: str, number: int, min: int, max: int) -> int:
    """The number, when it is within the bounds.  Raises ConfError."""
    if min and number < min:
        raise ConfError(f"invalid {name} parameter value {number} < {min}")
    if max and number > max:
        raise ConfError(f"invalid {name} parameter value {number} > {max}")
    return number


def check_time(name: str, seconds: int, min: int, max: int) -> int:
    """The seconds, when they are within the bounds.  Raises ConfError."""
    if min and seconds < min:
        raise ConfError(f"invalid {name}: {seconds} (min {min})")
    if max and seconds > max:
        raise ConfError(f"invalid {name}: {seconds} (max {max})")
    return seconds


def check_unit(name: str, default: str, source: str) -> None:
    """Raises ConfPanic where the evaluated default of a time has no unit to take."""
    for index, char in enumerate(default):
        if char.isascii() and char.isalpha():
            if index + 1 != len(default):
                raise ConfPanic(f"parameter {name}: bad time unit in default value: {source}")
            return
    raise ConfPanic(f"parameter {name}: missing time unit in default value: {source}")


def convert_int(name: str, text: str) -> int:
    """A 32-bit number.  Raises ConfError."""
    number = parse_int(text)
    if number is None:
        raise ConfError(f"bad numerical configuration: {name} = {text}")
    return number


def convert_bool(name: str, text: str) -> bool:
    """``yes`` or ``no``.  Raises ConfError."""
    word = text.lower()
    if word == "yes":
        return True
    if word == "no":
        return False
    raise ConfError(f"bad boolean configuration: {name} = {text}")


def convert_time(name: str, text: str, unit: str) -> int:
    """Seconds.  Raises ConfError."""
    seconds = conv_time(text, unit)
    if seconds is None:
        raise ConfError(f"parameter {name}: bad time value or unit: {text}")
    return seconds


class Int(Parameter[int]):
    """A 32-bit number."""

    kind = "int"

    def convert(self, text: str, default: str) -> int:
        """The number."""
        return check_number(self.name, convert_int(self.name, text), self.min, self.max)


class NInt(Int):
    """A number whose default is an expression."""

    kind = "nint"


class Long(Parameter[int]):
    """A 64-bit number."""

    kind = "long"

    def convert(self, text: str, default: str) -> int:
        """The number."""
        number = parse_long(text)
        if number is None:
            raise ConfError(f"bad numerical configuration: {self.name} = {text}")
        return check_number(self.name, number, self.min, self.max)


class Bool(Parameter[bool]):
    """``yes`` or ``no``."""

    kind = "bool"

    def convert(self, text: str, default: str) -> bool:
        """True for yes."""
        return convert_bool(self.name, text)


class NBool(Bool):
    """``yes`` or ``no`` whose default is an expression."""

    kind = "nbool"


class Time(Parameter[int]):
    """A time in seconds."""

    kind = "time"

    def convert(self, text: str, default: str) -> int:
        """The seconds."""
        seconds = convert_time(self.name, text, default[-1:])
        return check_time(self.name, seconds, self.min, self.max)
