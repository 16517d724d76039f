"""Numbers, times and lists as Postfix reads them from text.

All functions are pure.  Blanks are those of C's ``isspace``: space, tab, CR, LF, VT, FF.
"""

from __future__ import annotations

import re

#: Characters that separate words (CHARS_SPACE).
BLANKS = " \t\r\n"

#: Characters that separate the members of a list (CHARS_COMMA_SP).
COMMA_SPACE = ", \t\r\n"

#: What C's isspace(3) takes for a blank in the C locale.
C_SPACE = " \t\n\v\f\r"

_INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1

_STRTOL = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_SPLITTERS: dict[str, re.Pattern[str]] = {}


def strtol(text: str) -> tuple[int, int]:
    """The number at the start of a text and how many characters it took (0: there was none)."""
    match = _STRTOL.match(text)
    return (int(match[1]), match.end()) if match else (0, 0)


def parse_long(text: str) -> int | None:
    """A whole text as a 64-bit decimal number, with leading blanks and a sign, or None."""
    number, end = strtol(text)
    if not end or end != len(text) or not -_LONG_MAX - 1 <= number <= _LONG_MAX:
        return None
    return number


def parse_int(text: str) -> int | None:
    """A whole text as a 32-bit decimal number, with leading blanks and a sign, or None."""
    number = parse_long(text)
    return number if number is not None and -_INT_MAX - 1 <= number <= _INT_MAX else None


def parse_offset(digits: str) -> int:
    """Decimal digits as a 64-bit file offset, or a negative number where that overflows.

    The overflow checks of ``off_cvt_string`` (``off_cvt(3)``) are sums that wrap, and one of them
    is gone in the compiled program: some numbers beyond the range, such as twenty nines, come out
    as another number.
    """
    result = 0
    for digit in digits:
        twice = _wrap(result * 2)
        four_times = _wrap(twice * 2)
        eight_times = _wrap(four_times * 2)
        ten_times = _wrap(eight_times + twice)
        last, result = result, _wrap(ten_times + int(digit))
        if twice < last or four_times < twice or eight_times < four_times or result < ten_times:
            return -1
    return result


def _wrap(number: int) -> int:
    """A number modulo 2**64, signed."""
    return (number + 2**63) % 2**64 - 2**63


def all_digits(text: str) -> bool:
    """Whether a text consists of one or more ASCII digits and nothing else (``alldig``)."""
    return text.isascii() and text.isdigit()


def conv_time(text: str, default_unit: str) -> int | None:
    """A time as seconds: a number and a unit (s, m, h, d, w), without one the default unit.

    None where the text is no such thing, negative, or more than fits 31 bits.
    """
    number, end = strtol(text)
    rest = text[end:]
    if len(rest) > 1 or not text or not 0 <= number <= _INT_MAX:
        return None
    factor = _UNITS.get(rest or default_unit)
    if factor is None or (factor > 1 and number >= _INT_MAX // factor):
        return None
    return number * factor


def split(text: str, separators: str = COMMA_SPACE) -> list[str]:
    """The words of a text; runs of separators count as one (``mystrtok``)."""
    pattern = _SPLITTERS.get(separators)
    if pattern is None:
        pattern = _SPLITTERS[separators] = re.compile(f"[^{re.escape(separators)}]+")
    return pattern.findall(text)


def split_at_commas(text: str) -> list[str]:
    """The members of a list separated by commas and blanks."""
    return split(text, COMMA_SPACE)


def split_quoted(text: str, separators: str = COMMA_SPACE, parens: str = "{}") -> list[str]:
    """The members of a list; separators between balanced parentheses don't count (``mystrtokq``).

    The parentheses stay where they are: see :func:`extract_parens`.
    """
    left, right = parens[0], parens[1]
    if left not in text:
        return split(text, separators)
    words: list[str] = []
    start = -1
    level = 0
    for index, char in enumerate(text):
        if start < 0:
            if char in separators:
                continue
            start = index
        if char == left:
            level += 1
        elif level > 0 and char == right:
            level -= 1
        elif level == 0 and char in separators:
            words.append(text[start:index])
            start = -1
    if start >= 0:
        words.append(text[start:])
    return words


def balanced_length(text: str, parens: str = "{}") -> int:
    """The length of the balanced text that begins at the first character, or 0 (``balpar``)."""
    left, right = parens[0], parens[1]
    level = 0
    for index, char in enumerate(text):
        if char == left:
            level += 1
        elif char == right:
            level -= 1
            if level == 0:
                return index + 1
        if level == 0:
            return 0
    return 0


def extract_parens(text: str, parens: str = "{}", strip: bool = True) -> tuple[str, str | None]:
    """What stands between the parentheses that begin a text, and what is wrong with it, or None.

    ``strip`` takes off the blanks inside.  In case of an error the text is what remains when the
    missing parenthesis is put at the end, or the garbage after it is left out (``extpar``).
    """
    error = None
    length = balanced_length(text, parens)
    if length == 0:
        error = f"missing '{parens[1]}' in \"{text}\""
        inner = text[1:]
    else:
        if length != len(text):
            error = f"syntax error after '{parens[1]}' in \"{text}\""
        inner = text[1 : length - 1]
    return (inner.strip(C_SPACE) if strip else inner), error


def split_parameter(name: str, text: str) -> list[str]:
    """The members of a parameter's value, ``{text}`` without its braces (``mail_parm_split``).

    Raises ValueError with the fatal text (``name: missing '}' in "..."``).
    """
    words = split_quoted(text)
    for index, word in enumerate(words):
        if word.startswith("{"):
            words[index], error = extract_parens(word)
            if error:
                raise ValueError(f"{name}: {error}")
    return words


def split_name_value(text: str) -> tuple[str, str] | str:
    """``name = value`` as a pair, or what is wrong with it (``split_nameval``)."""
    text = text.strip(C_SPACE)
    if not text:
        return "missing attribute name"
    match = _NAME_VALUE.match(text)
    if match is None:
        return "missing '=' after attribute name"
    return match[1], match[2]


_NAME_VALUE = re.compile(r"([^ \t\n\v\f\r=]*)[ \t\n\v\f\r]*=[ \t\n\v\f\r]*(.*)", re.S)
