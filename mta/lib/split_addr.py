"""split_addr(3) - split the localpart of an address at its delimiter: ``user+extension``."""

from __future__ import annotations

from mta.dict.process import TableProcess
from mta.util.casefold import lowercase, strcasecmp_utf8

#: Special even where the delimiter occurs in them.
_NEVER_SPLIT = ("postmaster", "mailer-daemon")


def split_addr(process: TableProcess, localpart: str, delimiters: str) -> tuple[str, str | None]:
    """The user and the extension after the first of the delimiters (``recipient_delimiter``).

    The extension is None where the localpart is not split: no delimiter, nothing before it, a
    special name (postmaster, mailer-daemon, ``double_bounce_sender``), or, with ``-`` as delimiter
    and ``owner_request_special``, ``owner-list`` and ``list-request``.
    """
    places = [place for place in map(localpart.find, delimiters) if place >= 0]
    if not places or min(places) == 0 or _special(process, localpart, delimiters):
        return localpart, None
    place = min(places)
    return localpart[:place], localpart[place + 1 :]


def _special(process: TableProcess, localpart: str, delimiters: str) -> bool:
    lower = lowercase(localpart)
    conf = process.conf
    if lower in _NEVER_SPLIT:
        return True
    if strcasecmp_utf8(localpart, conf.double_bounce_sender, bool(conf.smtputf8_enable)) == 0:
        return True
    if "-" in delimiters and conf.owner_request_special:
        return lower.startswith("owner-") or (lower.endswith("-request") and len(lower) > 8)
    return False
