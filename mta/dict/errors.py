"""What can go wrong with a lookup table."""

from __future__ import annotations


class TableError(Exception):
    """A lookup or update failed for now; the table has logged why, where Postfix does.

    ``args[0]`` is the table's name, ``type:name`` (dict->error = DICT_ERR_RETRY).
    """

    @property
    def errno_text(self) -> str:
        """The text of errno after the failure, as commands show it (``args[1]``)."""
        return str(self.args[1]) if len(self.args) > 1 else "Success"


class DictConfigError(TableError):
    """The table's content or configuration is bad, as a result that is not UTF-8
    (dict->error = DICT_ERR_CONFIG).
    """
