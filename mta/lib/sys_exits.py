"""What the exit statuses of mail software mean (sysexits(3), sys_exits(3))."""

from __future__ import annotations

from typing import NamedTuple


class SysExit(NamedTuple):
    """The enhanced status code and the text of an exit status."""

    dsn: str
    text: str


EX_SOFTWARE = 70
EX_OSERR = 71
EX_IOERR = 74
EX_TEMPFAIL = 75

_TABLE = {
    64: SysExit("5.3.0", "command line usage error"),
    65: SysExit("5.6.0", "data format error"),
    66: SysExit("5.3.0", "cannot open input"),
    67: SysExit("5.1.1", "user unknown"),
    68: SysExit("5.1.2", "host name unknown"),
    69: SysExit("5.3.0", "service unavailable"),
    EX_SOFTWARE: SysExit("5.3.0", "internal software error"),
    EX_OSERR: SysExit("4.3.0", "system resource problem"),
    72: SysExit("5.3.0", "critical OS file missing"),
    73: SysExit("5.2.0", "can't create user output file"),
    EX_IOERR: SysExit("5.3.0", "input/output error"),
    EX_TEMPFAIL: SysExit("4.3.0", "temporary failure"),
    76: SysExit("5.5.0", "remote error in protocol"),
    77: SysExit("5.7.0", "permission denied"),
    78: SysExit("5.3.5", "local configuration error"),
}


def is_sys_exit(status: int) -> bool:
    """Whether an exit status is one of sysexits(3)."""
    return status in _TABLE


def sys_exits_detail(status: int) -> SysExit:
    """What an exit status means; any other than those of sysexits(3) is an unknown error."""
    return _TABLE.get(status) or SysExit("5.3.0", f"unknown mail system error {status}")
