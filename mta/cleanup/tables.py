"""What a cleanup(8) process knows for its life: tables, classes, limits (cleanup_init)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mta.dict.flags import DICT_FLAG_LOCK
from mta.lib.class_mask import class_mask
from mta.lib.mail_queue import MailQueue
from mta.lib.maps import Maps
from mta.lib.string_list import StringList
from mta.util.casefold import casefold
from mta.util.escape import unescape
from mta.util.scalars import split_at_commas
from mta.wire.header_opts import HeaderOpts, header_table
from mta.wire.mime_state import (
    MIME_OPT_DISABLE_MIME,
    MIME_OPT_REPORT_8BIT_IN_7BIT_BODY,
    MIME_OPT_REPORT_8BIT_IN_HEADER,
    MIME_OPT_REPORT_ENCODING_DOMAIN,
    MIME_OPT_REPORT_NESTING,
)
from mta.wire.text import to_bytes, to_text

if TYPE_CHECKING:
    from mta.conf.conf import Conf
    from mta.master.server import Process

# Bits of canonical_classes (and its siblings) and of masquerade_classes.
ENV_FROM = 1 << 0
ENV_RCPT = 1 << 1
HDR_FROM = 1 << 2
HDR_RCPT = 1 << 3

_SENDER_CLASSES = {"envelope_sender": ENV_FROM, "header_sender": HDR_FROM}
_RECIPIENT_CLASSES = {"envelope_recipient": ENV_RCPT, "header_recipient": HDR_RCPT}
_CLASSES = {**_SENDER_CLASSES, **_RECIPIENT_CLASSES}

# Bits of propagate_unmatched_extensions.
EXT_PROP_CANONICAL = 1 << 0
EXT_PROP_VIRTUAL = 1 << 1
_EXT_PROP = {
    "canonical": EXT_PROP_CANONICAL,
    "virtual": EXT_PROP_VIRTUAL,
    "alias": 1 << 2,
    "forward": 1 << 3,
    "include": 1 << 4,
    "generic": 1 << 5,
}

_MEMO_SIZE = 2000


class Tables:
    """Configuration in the form in which it is needed.  Tables that are not set are None."""

    def __init__(self, process: Process) -> None:
        """Opens the tables.  An unknown class is fatal."""
        self.process = process
        conf = process.conf
        self.comm_canon_maps = self._maps("canonical_maps")
        self.send_canon_maps = self._maps("sender_canonical_maps")
        self.rcpt_canon_maps = self._maps("recipient_canonical_maps")
        self.virt_alias_maps = self._maps("virtual_alias_maps")
        # All three complain in the name of the first.
        title = "canonical_classes"
        self.comm_canon_flags = class_mask(process, title, _CLASSES, conf.canonical_classes)
        self.send_canon_flags = class_mask(
            process, title, _SENDER_CLASSES, conf.sender_canonical_classes
        )
        self.rcpt_canon_flags = class_mask(
            process, title, _RECIPIENT_CLASSES, conf.recipient_canonical_classes
        )
        #: (parent domain, folded; whether it hides its subdomains)
        self.masq_domains = [
            _masquerade(word) for word in split_at_commas(conf.masquerade_domains)
        ]
        self.header_checks = self._maps("header_checks", DICT_FLAG_LOCK)
        self.mime_header_checks = self._maps("mime_header_checks", DICT_FLAG_LOCK)
        self.nested_header_checks = self._maps("nested_header_checks", DICT_FLAG_LOCK)
        self.body_checks = self._maps("body_checks", DICT_FLAG_LOCK)
        self.masq_exceptions: StringList | None = None
        if conf.masquerade_exceptions:
            self.masq_exceptions = StringList(
                process, "masquerade_exceptions", conf.masquerade_exceptions
            )
        self.masq_flags = class_mask(
            process, "masquerade_classes", _CLASSES, conf.masquerade_classes
        )
        self.send_bcc_maps = self._maps("sender_bcc_maps")
        self.rcpt_bcc_maps = self._maps("recipient_bcc_maps")
        self.milters: Any = _milters(process)
        extensions = conf.propagate_unmatched_extensions
        mask = class_mask(process, "propagate_unmatched_extensions", _EXT_PROP, extensions)
        self.propagate_canonical = bool(mask & EXT_PROP_CANONICAL)
        self.propagate_virtual = bool(mask & EXT_PROP_VIRTUAL)
        self.reject_chars = to_bytes(unescape(conf.message_reject_characters))
        self.strip_chars = to_bytes(unescape(conf.message_strip_characters))
        self._scalars(conf)
        #: Addresses and their rewritten forms, for addresses that come often.
        self.rewritten: dict[tuple[str, str], str] = {}
        self._header_opts: dict[bytes, HeaderOpts | None] = {}

    def _scalars(self, conf: Conf) -> None:
        self.utf8 = bool(conf.smtputf8_enable)
        self.message_size_limit: int = conf.message_size_limit
        self.line_length_limit: int = conf.line_length_limit
        self.header_size_limit: int = conf.header_size_limit
        self.duplicate_filter_limit: int = conf.duplicate_filter_limit
        self.hopcount_limit: int = conf.hopcount_limit
        self.enable_original_recipient = bool(conf.enable_original_recipient)
        self.delay_warning_time: int = conf.delay_warning_time
        self.detect_8bit_encoding_header = bool(conf.detect_8bit_encoding_header)
        self.always_add_missing_headers = bool(conf.always_add_missing_headers)
        self.header_table = header_table(conf.message_drop_headers)
        self.queue = MailQueue.from_conf(conf)
        self.mime_options = _mime_options(conf)
        self.mime_disabled = bool(conf.disable_mime_input_processing)
        #: Whether each line of the body is looked at.
        self.examines_body = bool(
            self.body_checks is not None or self.reject_chars or self.strip_chars
        )
        #: Whether a message needs more than to be copied: MIME errors, checks, filtered characters.
        self.examines = bool(
            self.mime_options
            or self.header_checks is not None
            or self.mime_header_checks is not None
            or self.nested_header_checks is not None
            or self.examines_body
        )

    def _maps(self, parameter: str, flags: int | None = None) -> Maps | None:
        spec = getattr(self.process.conf, parameter)
        if not spec:
            return None
        if flags is None:
            return Maps(self.process, parameter, spec)
        return Maps(self.process, parameter, spec, flags)

    def header_opts(self, name: bytes) -> HeaderOpts | None:
        """What is known of a header name."""
        try:
            return self._header_opts[name]
        except KeyError:
            if len(self._header_opts) > _MEMO_SIZE:
                self._header_opts.clear()
            found = self._header_opts[name] = self.header_table.find(to_text(name) + ":")
            return found

    def remember(self, key: tuple[str, str], rewritten: str) -> None:
        """Keeps a rewritten address."""
        if len(self.rewritten) > _MEMO_SIZE:
            self.rewritten.clear()
        self.rewritten[key] = rewritten


def _masquerade(word: str) -> tuple[str, bool]:
    domain = word.lstrip("!")
    return casefold(domain), (len(word) - len(domain)) % 2 == 0


def _mime_options(conf: Conf) -> int:
    """Which MIME errors are looked for in mail that is filtered."""
    strict = conf.strict_mime_encoding_domain
    headers = conf.strict_8bitmime or conf.strict_7bit_headers
    body = conf.strict_8bitmime or conf.strict_8bitmime_body
    options = 0
    if conf.disable_mime_input_processing:
        return MIME_OPT_DISABLE_MIME
    if headers:
        options |= MIME_OPT_REPORT_8BIT_IN_HEADER
    if body:
        options |= MIME_OPT_REPORT_8BIT_IN_7BIT_BODY
    if strict:
        options |= MIME_OPT_REPORT_ENCODING_DOMAIN
    checks = conf.header_checks or conf.mime_header_checks or conf.nested_header_checks
    if headers or body or strict or checks:
        options |= MIME_OPT_REPORT_NESTING
    return options


def _milters(process: Process) -> Any:
    """The milters for mail that does not come by SMTP (``non_smtpd_milters``), or None."""
    spec: str = process.conf.non_smtpd_milters
    if not spec:
        return None
    from mta.cleanup.milter import non_smtpd_milters

    return non_smtpd_milters(process, spec)
