"""Marks a recipient as done in the queue file (deliver_completed(3))."""

from __future__ import annotations

from mta.system import File


def deliver_completed(file: File, offset: int) -> None:
    """Turns the recipient record at ``offset`` into a DONE record; offset 0 means there is none."""
    if offset > 0:
        file.data[offset] = ord("D")
