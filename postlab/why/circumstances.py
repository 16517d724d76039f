"""What a restriction had before it: the client, its names, the sender, the recipient, in words.

Only what the restriction looks at is told; what it asked of tables and the DNS is told elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Inputs = Mapping[str, Any]


def _client_name(inputs: Inputs) -> str:
    address, name = inputs["client_address"], inputs["client_name"]
    if name != "unknown":
        return f"the client {address} is called {name}, and that name leads back to it"
    reverse = inputs["reverse_client_name"]
    if reverse == "unknown":
        return f"no name was found for the client's address {address}"
    return f"the address {address} is called {reverse}, but that name does not lead back to it"


def _reverse_name(inputs: Inputs) -> str:
    address, name = inputs["client_address"], inputs["reverse_client_name"]
    if name == "unknown":
        return f"no name was found for the client's address {address}"
    return f"the address {address} is called {name} in the DNS, which proves nothing"


def _client_address(inputs: Inputs) -> str:
    return f"the client's address is {inputs['client_address']}"


def _helo(inputs: Inputs) -> str:
    name = inputs["helo_name"]
    return "the client has said no HELO" if name is None else f"the client said HELO {name}"


def _sender(inputs: Inputs) -> str:
    sender = inputs["sender"]
    return "there is no sender yet" if sender is None else f"the sender is <{sender}>"


def _recipient(inputs: Inputs) -> str:
    recipient = inputs["recipient"]
    if recipient is None:
        return "there is no recipient, or more than one"
    return f"the recipient is <{recipient}>"


def _login(inputs: Inputs) -> str:
    login = inputs["sasl_username"]
    return "the client has not logged in" if not login else f"the client has logged in as {login}"


def _login_and_sender(inputs: Inputs) -> str:
    return f"{_login(inputs)}; {_sender(inputs)}"


#: Restrictions by a pattern, and what they look at; the first match counts.
_LOOKS_AT: tuple[tuple[re.Pattern[str], Callable[[Inputs], str]], ...] = tuple(
    (re.compile(pattern), teller)
    for pattern, teller in (
        (r".*_login_mismatch", _login_and_sender),
        (r"permit_sasl_authenticated|check_sasl_access", _login),
        (r".*reverse_client.*", _reverse_name),
        (r"reject_unknown_client.*|check_client_.*access|.*_rhs[bw]l_client", _client_name),
        (r"permit_mynetworks|permit_inet_interfaces|.*_rbl.*|.*_dnswl.*", _client_address),
        (r".*_helo.*|permit_naked_ip_address|reject_(invalid|non_fqdn|unknown)_hostname", _helo),
        (r".*sender.*|reject_unknown_address|reject_multi_recipient_bounce", _sender),
        (r".*recipient.*|.*_unauth_destination|.*auth_destination|permit_mx_backup", _recipient),
    )
)


def circumstance(word: str, inputs: Inputs) -> str:
    """What a restriction looks at, in this session; empty for one that looks at nothing."""
    for pattern, teller in _LOOKS_AT:
        if pattern.fullmatch(word.lower()):
            return teller(inputs)
    return ""
