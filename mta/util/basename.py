"""The parts of a path, also of an odd one (sane_basename(3))."""

from __future__ import annotations


def sane_basename(path: str) -> str:
    """The last part of a path, slashes at its end aside: ``.`` of nothing, ``/`` of the root."""
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def sane_dirname(path: str) -> str:
    """Where the last part of a path is: ``.`` where the path says nothing of that."""
    stripped = path.rstrip("/")
    if path and not stripped:
        return "/"
    directory, slash, _ = stripped.rpartition("/")
    return directory.rstrip("/") or slash or "."
