"""External commands as destinations of local(8): ``|command``, ``mailbox_command``."""

from __future__ import annotations

from mta.lib.mail_copy import (
    MAIL_COPY_DELIVERED,
    MAIL_COPY_FROM,
    MAIL_COPY_ORIG_RCPT,
    MAIL_COPY_RETURN_PATH,
    CorruptError,
    check_file_limit,
)
from mta.lib.pipe_command import Job, PipeStatus, pipe_command
from mta.local.bounce_workaround import bounce_workaround
from mta.local.expand import local_expand
from mta.local.state import DELIVER_HDR_CMD, State, UserAttr
from mta.system import Wait
from mta.util.mac_expand import filter_text
from mta.wire.dsn import Dsn

_COPY_FLAGS = MAIL_COPY_FROM | MAIL_COPY_RETURN_PATH | MAIL_COPY_ORIG_RCPT | MAIL_COPY_DELIVERED

#: Variables of the environment that come from the request, where they have a value.
_REQUEST = (
    ("CLIENT_HOSTNAME", "client_name"),
    ("CLIENT_ADDRESS", "client_addr"),
    ("CLIENT_HELO", "client_helo"),
    ("CLIENT_PROTOCOL", "client_proto"),
    ("SASL_METHOD", "sasl_method"),
    ("SASL_SENDER", "sasl_sender"),
    ("SASL_USERNAME", "sasl_username"),
)


def deliver_command(state: State, user: UserAttr, command: str) -> Wait[bool]:
    """Delivers to a command, with the rights of a user (root's are those of ``default_privs``)."""
    state = state.deeper()
    if state.been_here(f"command {state.user}:{user.uid} {command}"):
        return True
    if state.trace_only:
        return (yield from state.sent("2.0.0", f"delivers to command: {command}"))
    user = state.agent.default_rights(user)
    process, conf = state.process, state.process.conf
    directory = local_expand(
        state,
        user,
        conf.command_execution_directory,
        conf.execution_directory_expansion_filter,
    )
    if directory.error:
        process.log.warning(
            "bad parameter value syntax for command_execution_directory: "
            f"{conf.command_execution_directory}"
        )
        dsn = Dsn("4.3.5", "mail system configuration error")
        return (yield from bounce_workaround(state, dsn))
    job = Job(
        user.uid,
        user.gid,
        conf.command_time_limit,
        command=command,
        shell=conf.local_command_shell,
        env=_environment(state, user),
        cwd=directory.text,
        note={"sender": state.sender, "recipients": [state.rcpt.address]},
    )
    check_file_limit(process, state.request, conf.mailbox_size_limit)
    try:
        message = state.copy(_COPY_FLAGS, DELIVER_HDR_CMD)
    except CorruptError:
        return False
    result = yield from pipe_command(process, job, message)
    if result.status is not PipeStatus.OK:
        return (yield from bounce_workaround(state, result.dsn))
    return (yield from state.sent("2.0.0", f"delivered to command: {command}"))


def _environment(state: State, user: UserAttr) -> dict[str, str]:
    """The variables that tell of the message, without characters that a shell knows."""
    request = state.request
    values = {
        "HOME": user.home,
        "LOGNAME": state.user,
        "USER": state.user,
        "SENDER": state.sender,
        "RECIPIENT": state.rcpt.address,
        "LOCAL": state.local,
        "SHELL": user.shell,
        "DOMAIN": state.domain,
        "EXTENSION": state.extension,
        "ORIGINAL_RECIPIENT": state.rcpt.orig_addr or None,
        **{name: getattr(request, field) or None for name, field in _REQUEST},
    }
    allowed = state.process.conf.command_expansion_filter
    return {
        name: filter_text(value, allowed) for name, value in values.items() if value is not None
    }
