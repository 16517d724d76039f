"""Defects of Postfix 3.0 that end a process by a signal.  An oracle has them, too."""

from __future__ import annotations

from mta.system import Panic


class Crash(Panic):
    """The process dies of SIGSEGV without a word in the log; ``args[0]`` says for us why."""

    signal = 11
