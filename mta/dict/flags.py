"""How a table is opened and what kind of table it is: DICT_FLAG_* and open(2) flags (dict_open(3)).

The numbers and names are Postfix's: they show in the log, in ``table hash:/x(0,lock|fold_fix) has
changed -- restarting``.
"""

from __future__ import annotations

from functools import lru_cache

O_RDONLY = 0
O_RDWR = 2
O_CREAT = 0o100
O_TRUNC = 0o1000

DICT_FLAG_NONE = 0
DICT_FLAG_DUP_WARN = 1 << 0  #: warn of duplicate keys
DICT_FLAG_DUP_IGNORE = 1 << 1  #: silently keep the first of duplicate keys
DICT_FLAG_TRY0NULL = 1 << 2  #: keys without a null byte at the end
DICT_FLAG_TRY1NULL = 1 << 3  #: keys with one
DICT_FLAG_FIXED = 1 << 4  #: keys are literal text: partial keys make sense
DICT_FLAG_PATTERN = 1 << 5  #: keys are patterns: only full keys make sense
DICT_FLAG_LOCK = 1 << 6
DICT_FLAG_DUP_REPLACE = 1 << 7  #: a later duplicate replaces the earlier
DICT_FLAG_SYNC_UPDATE = 1 << 8
DICT_FLAG_DEBUG = 1 << 9
DICT_FLAG_NO_REGSUB = 1 << 11  #: no $number substitution
DICT_FLAG_NO_PROXY = 1 << 12  #: not through proxymap(8)
DICT_FLAG_NO_UNAUTH = 1 << 13  #: no unauthenticated data (tcp)
DICT_FLAG_FOLD_FIX = 1 << 14  #: fold the key for tables with literal keys
DICT_FLAG_FOLD_MUL = 1 << 15  #: fold the key for tables with patterns
DICT_FLAG_FOLD_ANY = DICT_FLAG_FOLD_FIX | DICT_FLAG_FOLD_MUL
DICT_FLAG_OPEN_LOCK = 1 << 16
DICT_FLAG_BULK_UPDATE = 1 << 17
DICT_FLAG_MULTI_WRITER = 1 << 18
DICT_FLAG_UTF8_REQUEST = 1 << 19  #: UTF-8 checks and folding, where smtputf8_enable is on
DICT_FLAG_UTF8_ACTIVE = 1 << 20

#: What a user of security-sensitive data must not accept.
DICT_FLAG_PARANOID = DICT_FLAG_NO_REGSUB | DICT_FLAG_NO_PROXY | DICT_FLAG_NO_UNAUTH
DICT_FLAG_IMPL_MASK = DICT_FLAG_FIXED | DICT_FLAG_PATTERN | DICT_FLAG_MULTI_WRITER
DICT_FLAG_RQST_MASK = (
    DICT_FLAG_FOLD_ANY
    | DICT_FLAG_LOCK
    | DICT_FLAG_DUP_REPLACE
    | DICT_FLAG_DUP_WARN
    | DICT_FLAG_DUP_IGNORE
    | DICT_FLAG_SYNC_UPDATE
    | DICT_FLAG_PARANOID
    | DICT_FLAG_UTF8_REQUEST
)
DICT_FLAG_INST_MASK = ~(DICT_FLAG_IMPL_MASK | DICT_FLAG_RQST_MASK)

#: What most address tables are opened with: virtual_alias_maps, transport_maps, ….
ADDRESS_FLAGS = DICT_FLAG_LOCK | DICT_FLAG_FOLD_FIX | DICT_FLAG_UTF8_REQUEST

_NAMES = {
    "warn_dup": DICT_FLAG_DUP_WARN,
    "ignore_dup": DICT_FLAG_DUP_IGNORE,
    "try0null": DICT_FLAG_TRY0NULL,
    "try1null": DICT_FLAG_TRY1NULL,
    "fixed": DICT_FLAG_FIXED,
    "pattern": DICT_FLAG_PATTERN,
    "lock": DICT_FLAG_LOCK,
    "replace": DICT_FLAG_DUP_REPLACE,
    "sync_update": DICT_FLAG_SYNC_UPDATE,
    "debug": DICT_FLAG_DEBUG,
    "no_regsub": DICT_FLAG_NO_REGSUB,
    "no_proxy": DICT_FLAG_NO_PROXY,
    "no_unauth": DICT_FLAG_NO_UNAUTH,
    "fold_fix": DICT_FLAG_FOLD_FIX,
    "fold_mul": DICT_FLAG_FOLD_MUL,
    "open_lock": DICT_FLAG_OPEN_LOCK,
    "bulk_update": DICT_FLAG_BULK_UPDATE,
    "multi_writer": DICT_FLAG_MULTI_WRITER,
    "utf8_request": DICT_FLAG_UTF8_REQUEST,
    "utf8_active": DICT_FLAG_UTF8_ACTIVE,
}


@lru_cache(maxsize=256)
def dict_flags_str(flags: int) -> str:
    """The names of the flags, ``|`` between them; unknown bits as a number."""
    names = [name for name, bit in _NAMES.items() if flags & bit]
    rest = flags & ~sum(_NAMES.values())
    if rest:
        names.append(f"0x{rest:x}")
    return "|".join(names)


def dict_flags_mask(names: str) -> int:
    """The flags of names between white space, commas or ``|``.  Raises KeyError with the name."""
    mask = 0
    for name in names.replace("|", " ").replace(",", " ").split():
        mask |= _NAMES[name.lower()]
    return mask
