"""The environment of external commands (``import_environment``, ``export_environment``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.util.scalars import split_parameter

if TYPE_CHECKING:
    from mta.master.server import Process

#: _PATH_DEFPATH: where commands without a directory are looked for.
PATH = "/usr/bin:/bin"


def export_environ(process: Process) -> dict[str, str]:
    """The variables that a command inherits, PATH among them.  What Postfix itself was started with
    are MAIL_CONFIG and the ``name=value`` of ``import_environment``.
    """
    conf = process.conf
    own = {"MAIL_CONFIG": conf.config_directory}
    own.update(_settings(process, "import_environment", conf.import_environment, own))
    exported = _settings(process, "export_environment", conf.export_environment, own)
    return {**exported, "PATH": PATH}


def _settings(process: Process, parameter: str, text: str, own: dict[str, str]) -> dict[str, str]:
    """What is left of an environment (clean_env(3)): names are kept, ``name=value`` is set."""
    try:
        words = split_parameter(parameter, text)
    except ValueError as error:
        process.log.fatal(error.args[0])
    result: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            result[name] = value
        elif name in own:
            result[name] = own[name]
    return result
