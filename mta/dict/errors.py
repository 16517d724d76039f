"""What can go wrong with a lookup table."""

from __future__ import annotations


class TableError(Exception):
    """A lookup or update failed for now; the table has logged why, where Postfix does.

    ``args[0]`` is the table's name, ``type:name`` (dict->error = DICT_ERR_RETRY).
    """


class DictConfigError(TableError):
    """The table's content or configuration is bad, as a result that is not UTF-8
    (dict->error = DICT_ERR_CONFIG).
    """
