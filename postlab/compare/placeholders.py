"""What two runs of one scenario may say differently: tables of patterns and their placeholders.

Process ids are dropped; queue ids get labels; dates, delays, generated message ids, MIME
boundaries, the version, message sizes, ports that the system chose and the texts of the TLS library
become placeholders (scenario format 1, last paragraph).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

Rule = tuple[re.Pattern[str], str]

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = r"\d\d:\d\d:\d\d"
#: Ports from which systems connect: 32768 and up.
_CHOSEN_PORT = r"(?:3[3-9]\d{3}|32[89]\d\d|327[7-9]\d|3276[89]|[45]\d{4}|6[0-5]\d{3})\b"

_SHORT_ID = r"[0-9A-F]{6,20}"
_LONG_ID = r"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,16}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+"
#: A queue id of either form (enable_long_queue_ids).
QUEUE_ID = rf"(?:{_LONG_ID}|{_SHORT_ID})"

LOG_LINE = re.compile(r"^([^\[\s:]+)(?:\[\d+\])?: (.*)$", re.DOTALL)


def _rules(*pairs: tuple[str, str]) -> list[Rule]:
    return [(re.compile(pattern), replacement) for pattern, replacement in pairs]


#: For every text of an outcome, after the queue ids have their labels (``Q1``).
EVERYWHERE = _rules(
    (
        rf"\b{_DAY}, +\d{{1,2}} {_MONTH} \d{{4}} {_TIME} [-+]\d{{4}}(?: \([A-Z]+\))?",
        "DATE",
    ),
    (rf"\b{_DAY} {_MONTH} [ \d]\d {_TIME}(?: \d{{4}})?", "CTIME"),
    (r"\b20\d{12}\.(?=Q\d)", "TIME."),  # message ids
    (r"\b(Q\d+)\.\d{9,11}/", r"\1.TIME/"),  # MIME boundaries
    (r"(Postfix \(?|version )3\.\d+\.\d+\b", r"\1VERSION"),
    (
        r"(with cipher \S+ \(\d+/\d+ bits\))"
        r"(?:\s+(?:key-exchange|server-signature|server-digest|client-signature"
        r"|client-digest) (?!\()[^\s()]+(?: \([^)]*\))?)+",
        r"\1",
    ),
    # two versions of OpenSSL tell the end of a connection in two ways
    (r"(SSL_(?:connect|accept) error (?:to|from) \S+: )-1$", r"\1lost connection"),
)

#: For the text of a line of the log.
LOG = _rules(
    (r"\bdelay=[\d.]+, delays=[\d./]+", "delay=D, delays=D"),
    (r"\bconn_use=\d+, ", ""),
    (r"\bsize=\d+(?=, nrcpt=)", "size=SIZE"),
    (r"\b(process id|pid) \d+", r"\1 PID"),
    (r"\binet_port \d+", "inet_port PORT"),
    (r"(free space in mail queue:) \d+ bytes", r"\1 N bytes"),
    (r"\buid=\d+(?= from=.* orig_id=)", "uid=UID"),  # the mail owner's number is the machine's
    (rf"(\[[0-9a-f.:]+\]:){_CHOSEN_PORT}", r"\1PORT"),
    (r"(TLS library problem: ).*", r"\1LIBRARY"),
)

#: Lines of the log that speak of the machine and not of the mail.
NOT_COUNTED = [
    re.compile(pattern)
    for pattern in (
        r"statistics: ",
        r"daemon started",
        r"file system clock is \d+ seconds ahead of local clock",
        r"resetting file time stamps - this hurts performance",
    )
]

#: For what our mail system says to a peer.
TO_PEER = _rules(
    (r"^(C: MAIL FROM:.*) SIZE=\d+", r"\1 SIZE=SIZE"),
    (rf"^(C: XFORWARD .*\bPORT=){_CHOSEN_PORT}", r"\1PORT"),
)

#: For what the commands printed.
PRINTED = _rules(
    (r"(?m)^(Q\d+[*!#]?) +\d+ ", r"\1 SIZE "),
    (r"-- \d+ Kbytes", "-- N Kbytes"),
    (r"(?m)^-Queue ID-.*$", "-Queue ID-"),
)


def apply(rules: list[Rule], text: str) -> str:
    """A text with all replacements of a table made, in order."""
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def log_line(line: str) -> str | None:
    """A line of the log as ``service: text``; None where it does not count."""
    match = LOG_LINE.match(line)
    if match is None:
        return line
    service, text = match.groups()
    if any(pattern.search(text) for pattern in NOT_COUNTED):
        return None
    return f"{service}: {apply(LOG, text)}"


def with_placeholders(outcome: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """A copy of an outcome (the JSON document) with placeholders and labels for queue ids."""
    names = "|".join(map(re.escape, sorted(labels, key=len, reverse=True)))
    ids = re.compile(rf"(?<![0-9A-Za-z])({names})(?![0-9A-Za-z])") if names else None

    def change(text: str) -> str:
        if ids is not None:
            text = ids.sub(lambda match: labels[match[1]], text)
        return apply(EVERYWHERE, text)

    data: dict[str, Any] = _each_text(copy.copy(dict(outcome)), change)
    for item in data.get("delivered", []):
        item["message"] = _sorted_report(item["message"])
    for peer in data.get("peers", []):
        peer["transcript"] = [apply(TO_PEER, line) for line in peer["transcript"]]
    lines = [log_line(line) for line in data.get("log", [])]
    data["log"] = [line for line in lines if line is not None]
    for requests in data.get("policy", {}).values():
        for request in requests:
            _policy_request(request)
    for item in data.get("commands", []):
        item["output"] = _sorted_mailq(apply(PRINTED, item.get("output", "")))
    return data


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a nested value with each of its texts changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return value


def _policy_request(request: dict[str, str]) -> None:
    for name, placeholder in (("client_port", "PORT"), ("instance", "INSTANCE")):
        if request.get(name):
            request[name] = placeholder
    if request.get("protocol_state") == "END-OF-MESSAGE" and request.get("size", "0") != "0":
        request["size"] = "SIZE"


def _sorted_report(text: str) -> str:
    """A delivery status notification with its recipients in order."""
    if "report-type=delivery-status" not in text:
        return text
    for start in ("<", "Final-Recipient:"):
        block = rf"^{start}[^\n]*\n(?:[^\n]+\n)*\n"
        several = re.compile(rf"(?m)(?:{block})+")
        text = several.sub(
            lambda match: "".join(sorted(re.findall(r"(?:[^\n]+\n)+\n", match[0]))), text
        )
    return text


def _sorted_mailq(text: str) -> str:
    """A listing of the queue with its entries, and the recipients of each, in order."""
    head, mark, rest = text.partition("-Queue ID-\n")
    if not mark or "\n\n" not in rest:
        return text
    *entries, tail = rest.split("\n\n")
    listed = []
    for entry in entries:
        first, *others = entry.split("\n")
        reason, recipients = "", []
        for line in others:
            line = line.strip()
            if line.startswith("("):
                reason = line
            else:
                recipients.append(f" {line} {reason}")
        listed.append("\n".join([first, *sorted(recipients)]))
    return head + mark + "\n\n".join([*sorted(listed), tail])
