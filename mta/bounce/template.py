"""bounce(5) templates: the header fields and the text of delivery status notifications.

CONFIGURATION PARAMETERS
    delay_warning_time, maximal_queue_lifetime (``_seconds`` ... ``_weeks``), myhostname, mydomain
    (in Unicode with ``smtputf8_enable``), and any other known parameter by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mta.util.mac_expand import MacError, mac_expand
from mta.wire.header_opts import is_header

if TYPE_CHECKING:
    from mta.master.server import Process

CLASS_FAILURE = "failure"
CLASS_DELAY = "delay"
CLASS_SUCCESS = "success"
CLASS_VERIFY = "verify"

_SPACE = " \t\n\v\f\r"
_TIME_PARAMETERS = ("delay_warning_time", "maximal_queue_lifetime")
_HOST_PARAMETERS = ("myhostname", "mydomain")
_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 7 * 86400}


@dataclass(frozen=True, slots=True)
class TemplateText:
    """The parts of a template.  ``postmaster_subject`` is None where no copies are made."""

    charset: str
    encoding: str
    from_: str
    subject: str
    postmaster_subject: str | None
    lines: tuple[str, ...]


class _Unusable(Exception):
    """A template of the user has a mistake: the warnings to log."""


def _text(subject: str, postmaster_subject: str | None, body: str) -> TemplateText:
    return TemplateText(
        "us-ascii",
        "7bit",
        "MAILER-DAEMON (Mail Delivery System)",
        subject,
        postmaster_subject,
        tuple(body.strip("\n").split("\n")),
    )


_HELP = """
For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system
"""

#: The built-in texts, which users know word by word (bounce(5), ``bounce.cf.default``).
BUILT_IN = {
    CLASS_FAILURE: _text(
        "Undelivered Mail Returned to Sender",
        "Postmaster Copy: Undelivered Mail",
        f"""
This is the mail system at host $myhostname.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.
{_HELP}""",
    ),
    CLASS_DELAY: _text(
        "Delayed Mail (still being retried)",
        "Postmaster Warning: Delayed Mail",
        f"""
This is the mail system at host $myhostname.

####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message could not be delivered for more than $delay_warning_time_hours hour(s).
It will be retried until it is $maximal_queue_lifetime_days day(s) old.
{_HELP}""",
    ),
    CLASS_SUCCESS: _text(
        "Successful Mail Delivery Report",
        None,
        """
This is the mail system at host $myhostname.

Your message was successfully delivered to the destination(s)
listed below. If the message was delivered to mailbox you will
receive no further notifications. Otherwise you may still receive
notifications of mail delivery errors from other systems.

                   The mail system
""",
    ),
    CLASS_VERIFY: _text(
        "Mail Delivery Status Report",
        None,
        """
This is the mail system at host $myhostname.

Enclosed is the mail delivery report that you requested.

                   The mail system
""",
    ),
}


class Template:
    """A template of one class, built-in or the user's.  The user's is looked at when it is first
    needed; with a mistake in it, it is replaced by the built-in one.
    """

    __slots__ = ("_buffer", "_text", "class_", "origin", "process")

    def __init__(self, process: Process, class_: str) -> None:
        self.process = process
        self.class_ = class_
        self.origin = "[built-in]"
        self._text = BUILT_IN[class_]
        self._buffer: str | None = None

    def load(self, origin: str, buffer: str) -> None:
        """Takes a user's template: its file and its text."""
        self.origin = origin
        self._buffer = buffer
        self._text = BUILT_IN[self.class_]

    @property
    def text(self) -> TemplateText:
        """The parts of the template."""
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            try:
                self._text = self._parse(buffer)
            except _Unusable as mistake:
                for warning in mistake.args:
                    self.process.log.warning(warning)
                self.origin = "[built-in]"
        return self._text

    @property
    def is_failure(self) -> bool:
        """Whether this is about undeliverable mail."""
        return self.class_ == CLASS_FAILURE

    @property
    def is_delay(self) -> bool:
        """Whether this is about delayed mail."""
        return self.class_ == CLASS_DELAY

    def headers(self, recipient: str, postmaster_copy: bool) -> list[str]:
        """The From, Subject and To header of a notification; the recipient in external form."""
        text = self.text
        subject = text.postmaster_subject if postmaster_copy else None
        return [
            f"From: {text.from_}",
            f"Subject: {subject or text.subject}",
            f"To: {recipient}",
        ]

    def expand(self) -> list[str]:
        """The lines of the text with parameters expanded.  A mistake in ``$name`` is fatal."""
        lines = []
        log = self.process.log
        text = self.text
        for line in text.lines:
            try:
                expansion = mac_expand(
                    line,
                    self._lookup,
                    printable=True,
                    utf8=self.process.conf.smtputf8_enable,
                )
            except MacError as error:
                for warning in error.warnings:
                    log.warning(warning)
                log.fatal(f"{self.origin}: bad $name syntax in {self.class_} template: {line}")
            if expansion.undefined:
                log.fatal(f"{self.origin}: undefined $name in {self.class_} template: {line}")
            lines.append(expansion.text)
        return lines

    def dump(self) -> list[str]:
        """The template in the form of bounce(5) (``postconf -b``)."""
        text = self.text
        lines = [f"Charset: {text.charset}", f"From: {text.from_}", f"Subject: {text.subject}"]
        if text.postmaster_subject:
            lines.append(f"Postmaster-Subject: {text.postmaster_subject}")
        return [*lines, "", *text.lines]

    # -- reading

    def _parse(self, buffer: str) -> TemplateText:
        """The parts of a user's template.  Raises _Unusable."""
        text = BUILT_IN[self.class_]
        lines = buffer.split("\n")
        place = 0
        while place < len(lines):
            size = is_header(lines[place])
            if not size:
                break
            text = self._header(text, lines[place][:size], lines[place][size:])
            place += 1
        while place < len(lines) and not lines[place].strip(_SPACE):
            place += 1
        if place == len(lines):
            raise self._unusable("missing message text in {} template")
        body = lines[place:]
        if not all(line.isascii() for line in body):
            if text.charset.lower() == "us-ascii":
                raise _Unusable(
                    f"{self.origin}: 8-bit message text in {self.class_} template",
                    "please specify a charset value other than us-ascii",
                    "-- ignoring this template for now",
                )
            text = replace(text, encoding="8bit")
        return replace(text, lines=tuple(body))

    def _header(self, text: TemplateText, label: str, value: str) -> TemplateText:
        value = value.lstrip(":" + _SPACE)
        if not value:
            raise self._unusable(f'empty "{label}" header value in {{}} template')
        if not value.isascii():
            raise self._unusable(f'non-ASCII "{label}" header value in {{}} template')
        name = label.lower()
        if name == "charset":
            return replace(text, charset=value)
        if name == "from":
            return replace(text, from_=value)
        if name == "subject":
            return replace(text, subject=value)
        if name == "postmaster-subject":
            if text.postmaster_subject is None:
                raise self._unusable(f'inapplicable "{label}" header label in {{}} template')
            return replace(text, postmaster_subject=value)
        raise self._unusable(f'unknown "{label}" header label in {{}} template')

    def _unusable(self, what: str) -> _Unusable:
        what = what.replace("{}", self.class_)
        return _Unusable(f"{self.origin}: {what} -- ignoring this template")

    # -- $name

    def _lookup(self, name: str) -> str | None:
        for parameter in _TIME_PARAMETERS:
            if name.startswith(parameter + "_"):
                return self._time(parameter, name, name[len(parameter) + 1 :])
        conf = self.process.conf
        if conf.smtputf8_enable and name in _HOST_PARAMETERS:
            return self._host_name(name, getattr(conf, name))
        return conf.lookup_eval(name)

    def _time(self, parameter: str, name: str, suffix: str) -> str:
        """A time parameter in a unit."""
        log = self.process.log
        unit = _UNITS.get(suffix)
        if unit is None:
            log.fatal(f'{self.origin}: unrecognized suffix "{suffix}" in parameter "{name}"')
        seconds: int = getattr(self.process.conf, parameter)
        result = seconds // unit
        advice = ""
        if result > 999 and unit < 86400:
            log.warning(
                f'{self.origin}: excessive result "{result}" in {self.class_} '
                f'template conversion of parameter "{name}"'
            )
            advice = "increase"
        elif result == 0 and seconds and unit > 1:
            log.warning(
                f"{self.origin}: zero result in {self.class_} template conversion of "
                f'parameter "{name}"'
            )
            advice = "reduce"
        if advice:
            what = f'time unit "{suffix}" of "{name}" in {self.class_} template'
            log.warning(f"please {advice} {what}")
            log.warning("for instructions see the bounce(5) manual")
        return str(result)

    def _host_name(self, name: str, value: str) -> str:
        """A host name in Unicode."""
        from mta.util.midna_domain import midna_domain_to_utf8

        log = self.process.log
        if not value.isascii():
            log.warning(
                f'{self.origin}: conversion "{name}" failed: non-ASCII input value: "{value}"'
            )
            return value
        unicode = midna_domain_to_utf8(value, log.warning)
        if unicode is None:
            log.warning(f'{self.origin}: conversion "{name}" failed: input value: "{value}"')
            return value
        return unicode
