"""Restrictions: how they are registered, and how a list of them is read (access control).

A restriction is a function with the decorator :func:`restriction`, under the names that users
write in ``smtpd_*_restrictions``.  What follows the name (a table, a domain, a server) is part of
the :class:`Step` that a list is compiled into, once per process; mistakes are steps, too, since
Postfix complains of most of them only when it comes to them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from mta.smtpd.state import Session
from mta.util.parens import split_words
from mta.util.scalars import all_digits

if TYPE_CHECKING:
    from mta.smtpd.check_rules import Rules

# What comes of a restriction.
SMTPD_CHECK_DUNNO = 0  #: no opinion: the next one is asked
SMTPD_CHECK_OK = 1  #: permitted
SMTPD_CHECK_REJECT = 2  #: rejected; the reply is in ``session.scratch[REPLY]``

VERDICTS = ("dunno", "permit", "reject")

#: Where the text of the last rejection is kept in ``session.scratch``.
REPLY = "reply"

# What is rejected, in replies and log lines.
SMTPD_NAME_CLIENT = "Client host"
SMTPD_NAME_REV_CLIENT = "Unverified Client host"
SMTPD_NAME_CCERT = "Client certificate"
SMTPD_NAME_SASL_USER = "SASL login name"
SMTPD_NAME_HELO = "Helo command"
SMTPD_NAME_SENDER = "Sender address"
SMTPD_NAME_RECIPIENT = "Recipient address"
SMTPD_NAME_ETRN = "Etrn command"
SMTPD_NAME_DATA = "Data command"
SMTPD_NAME_EOD = "End-of-data"


class Jump(Exception):
    """Ends the evaluation of the whole stage; ``args[0]`` is its outcome (SMTPD_CHECK_*)."""


class Argument(Enum):
    """What has to follow the name of a restriction."""

    NONE = "none"
    TABLE = "table"  #: ``type:name``
    DOMAIN = "domain"  #: anything
    POLICY = "policy"  #: ``inet:host:port``, ``unix:path``, ``{ ... }``
    NUMBER = "number"  #: digits


class Restriction:
    """A registered restriction."""

    __slots__ = ("argument", "blocks", "name", "run")

    def __init__(self, name: str, run: Callable[..., Any], argument: Argument) -> None:
        self.name = name
        self.run = run
        self.argument = argument
        self.blocks = inspect.isgeneratorfunction(getattr(run, "func", run))


#: All restrictions by the names that users write, in lower case.
RESTRICTIONS: dict[str, Restriction] = {}
#: The pseudo restriction that makes the next one a test.
WARN_IF_REJECT = "warn_if_reject"

H = TypeVar("H", bound=Callable[..., Any])


def restriction(*names: str, argument: Argument = Argument.NONE) -> Callable[[H], H]:
    """Registers ``run(scope, step)`` under its names.  It returns SMTPD_CHECK_*, or is a generator
    that does.
    """

    def register(run: H) -> H:
        for name in names:
            RESTRICTIONS[name] = Restriction(name, run, argument)
        return run

    return register


class Step:
    """A restriction in a list.

    ``word`` is its name as it is written (for ``type:name`` without a name: the implied one),
    ``name`` the registered name, ``argument`` what follows it, ``following`` the first word after
    both, None at the end of the list.
    """

    __slots__ = ("argument", "blocks", "following", "name", "run", "warns", "word")

    def __init__(
        self,
        word: str,
        run: Callable[..., Any],
        blocks: bool,
        name: str = "",
        argument: Any = None,
        following: str | None = None,
    ) -> None:
        self.word = word
        self.run = run
        self.blocks = blocks
        self.name = name or word
        self.argument = argument
        self.following = following
        self.warns = name == WARN_IF_REJECT


class ValueBuffer:
    """Where a table, or a policy client, leaves its latest result, over the earlier ones: the end
    of a longer one stays behind a shorter one.
    """

    __slots__ = ("_memory",)

    def __init__(self) -> None:
        self._memory = ""

    def put(self, value: str) -> str:
        """Leaves a value there; the text that lies behind it (and the NUL at its end)."""
        rest = self._memory[len(value) + 1 :]
        self._memory = f"{value}\0{rest}"
        return rest.partition("\0")[0]


class Scope:
    """One evaluation of a list: whose it is, what is evaluated, and under which parameter."""

    __slots__ = ("def_acl", "parameter", "reply_class", "reply_name", "rules", "session")

    def __init__(
        self,
        rules: Rules,
        session: Session,
        parameter: str,
        reply_name: str,
        reply_class: str,
        def_acl: str | None,
    ) -> None:
        self.rules = rules
        self.session = session
        self.parameter = parameter
        self.reply_name = reply_name
        self.reply_class = reply_class
        self.def_acl = def_acl


class RestrictionList:
    """The words of a list, and its steps for each restriction that a bare table stands for."""

    __slots__ = ("_steps", "parameter", "words")

    def __init__(self, parameter: str, text: str) -> None:
        self.parameter = parameter
        self.words = split_words(text)
        self._steps: dict[str | None, list[Step]] = {}

    def __bool__(self) -> bool:
        return bool(self.words)

    def steps(self, def_acl: str | None, rules: Rules) -> list[Step]:
        """What is to be done, in order."""
        found = self._steps.get(def_acl)
        if found is None:
            found = self._steps[def_acl] = _compile(self.words, def_acl, rules)
        return found


def _compile(words: list[str], def_acl: str | None, rules: Rules) -> list[Step]:
    from mta.smtpd import check_mistakes as mistakes

    steps: list[Step] = []
    place = 0
    while place < len(words):
        word = words[place]
        if ":" in word:
            if def_acl is None:
                steps.append(Step(word, mistakes.bare_table, False))
            else:
                entry = RESTRICTIONS[def_acl]
                steps.append(Step(def_acl, entry.run, entry.blocks, entry.name, word))
        elif word.lower() == WARN_IF_REJECT:
            steps.append(Step(word, mistakes.never, False, WARN_IF_REJECT))
        elif word.lower() in RESTRICTIONS:
            entry = RESTRICTIONS[word.lower()]
            step, used = _with_argument(word, entry, words[place + 1 : place + 2])
            place += used
            if place + 1 < len(words):
                step.following = words[place + 1]
            steps.append(step)
        elif word in rules.classes:
            steps.append(Step(word, mistakes.restriction_class, True, argument=rules.classes[word]))
        else:
            steps.append(Step(word, mistakes.unknown, False))
        place += 1
    return steps


def _with_argument(word: str, entry: Restriction, after: list[str]) -> tuple[Step, int]:
    """The step for a restriction, and how many words its argument takes."""
    from mta.smtpd import check_mistakes as mistakes

    kind = entry.argument
    if kind is Argument.NONE:
        return Step(word, entry.run, entry.blocks, entry.name), 0
    if after and _is_good(kind, after[0]):
        return Step(word, entry.run, entry.blocks, entry.name, after[0]), 1
    if kind is Argument.TABLE:
        return Step(word, mistakes.bad_table, False, entry.name, (after or [word])[0]), 0
    if kind is Argument.DOMAIN:
        return Step(word, mistakes.no_domain, False, entry.name), 0
    if kind is Argument.POLICY:
        return Step(word, mistakes.no_server, False, entry.name), 0
    return Step(word, mistakes.no_number, False, entry.name), 0


def _is_good(kind: Argument, text: str) -> bool:
    """Whether a word can be an argument of a kind."""
    if kind is Argument.NUMBER:
        return all_digits(text)
    return kind is Argument.DOMAIN or ":" in text
