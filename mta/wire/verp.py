"""verp_sender(3): the recipient in the sender's address (variable envelope return paths)."""

from __future__ import annotations


def verp_sender(delimiters: str, sender: str, recipient: str) -> str:
    """``list@origin`` for ``user@domain``: ``list+user=domain@origin`` with the delimiters ``+=``.
    A list knows the recipient as it was before aliases (orig_addr), so pass that.
    """
    local, at, origin = sender.rpartition("@")
    if not at:
        local, origin = sender, ""
    user, user_at, domain = recipient.rpartition("@")
    if not user_at:
        user, domain = recipient, ""
    result = local + delimiters[0] + user
    if domain:
        result += delimiters[1] + domain
    return f"{result}@{origin}" if origin else result


def verp_delims_verify(delimiters: str, allowed: str) -> str | None:
    """What is wrong with the delimiters, or None where nothing is.  ``allowed`` is the parameter
    verp_delimiter_filter.
    """
    if len(delimiters) != 2:
        return "bad VERP delimiter character count"
    if delimiters[0] not in allowed:
        return "bad first VERP delimiter character"
    if delimiters[1] not in allowed:
        return "bad second VERP delimiter character"
    return None
