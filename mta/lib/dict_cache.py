"""dict_cache(3): a table that a daemon keeps for itself, and cleans from time to time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from mta.master.server import Process

V = TypeVar("V")
_SECOND = 1_000_000


class DictCache(Generic[V]):
    """The cache of a parameter such as ``postscreen_cache_map``.

    ``name`` is the table, empty for one that lives as long as the process and which the log calls
    by its ``title``.  ``keep`` says whether an entry may stay, at each cleanup.
    """

    def __init__(
        self, process: Process, name: str, keep: Callable[[str, V], bool], title: str = ""
    ) -> None:
        self.process = process
        self.title = name or title
        self._keep = keep
        self._alive: Callable[[], bool] = lambda: True
        owner = process.program
        store = process.master.persistent
        self.entries: dict[str, V] = cast(
            "dict[str, V]", store(f"{owner} {name}" if name else None)
        )
        #: When it was cleaned last (``last``, in seconds).
        self._cleaned: dict[str, Any] = store(f"{owner} cleanup {name}" if name else None)

    def clean_every(self, interval: int, alive: Callable[[], bool] = lambda: True) -> None:
        """Begins to clean: at once, or when the interval (seconds) is over since the last time.

        ``alive`` tells whether the process is still there: the one that comes after it cleans.
        """
        if interval <= 0:
            return
        self._alive = alive
        last = self._cleaned.get("last")
        delay = 0 if last is None else min(max(last + interval - self._now(), 0), interval)
        if delay:
            self.process.system.after(delay, lambda: self._clean(interval))
        else:
            self._clean(interval)

    def _clean(self, interval: int) -> None:
        if not self._alive():
            return
        old = [key for key, value in self.entries.items() if not self._keep(key, value)]
        for key in old:
            del self.entries[key]
        self.process.log.info(
            f"cache {self.title} full cleanup: "
            f"retained={len(self.entries)} dropped={len(old)} entries"
        )
        self._cleaned["last"] = self._now()
        self.process.system.after(interval, lambda: self._clean(interval))

    def _now(self) -> int:
        return self.process.now() // _SECOND
