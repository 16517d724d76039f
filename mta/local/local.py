r"""local(8) - the delivery agent for local recipients.

DESCRIPTION
    Delivers to the users of this machine, to files and to commands, after it has expanded aliases
    (``alias_maps``, in the format of aliases(5)), ``:include:`` files and users' forward files
    (``forward_path``).  What is forwarded becomes a new message, one for each combination of
    Delivered-To and owner.

    In this order: ``\user`` is the mailbox of a user, whatever aliases say.  An alias for the
    whole localpart, then for the localpart without its extension (``recipient_delimiter``).  A
    user's forward file.  ``mailbox_transport_maps``, ``mailbox_transport``,
    ``mailbox_command_maps``, ``mailbox_command``, ``home_mailbox``, ``mail_spool_directory``.  For
    those who are no users ``fallback_transport_maps``, ``fallback_transport``, ``luser_relay``.

    An alias ``owner-NAME`` is where problems with the addresses of alias NAME are reported to; it
    becomes the sender of what is forwarded.  A header Delivered-To in the message ends loops.

DIAGNOSTICS
    ``status=sent (delivered to mailbox)``, ``maildir``, ``file: PATH``, ``command: COMMAND``, or
    ``(forwarded as QUEUEID)``; ``status=bounced (unknown user: "NAME")`` and others.  The relay is
    the name of the service.

CONFIGURATION PARAMETERS
    alias_maps, allow_mail_to_commands, allow_mail_to_files, biff, command_execution_directory,
    command_expansion_filter, command_time_limit, default_privs, deliver_lock_attempts,
    deliver_lock_delay, duplicate_filter_limit, execution_directory_expansion_filter,
    expand_owner_alias, export_environment, fallback_transport, fallback_transport_maps,
    forward_expansion_filter, forward_path, frozen_delivered_to, home_mailbox, line_length_limit,
    local_command_shell, local_delivery_status_filter, luser_relay, mail_name, mail_spool_directory,
    mailbox_command, mailbox_command_maps, mailbox_delivery_lock, mailbox_size_limit,
    mailbox_transport, mailbox_transport_maps, message_size_limit, myhostname,
    owner_request_special, prepend_delivered_header, propagate_unmatched_extensions,
    recipient_delimiter, require_home_directory, reset_owner_alias, smtputf8_enable,
    stale_lock_time, strict_mailbox_ownership, sun_mailtool_compatibility

    ``biff`` tells logged-in users of new mail with a datagram to this machine, to which nobody
    listens in the world of the simulation; nothing comes of it.
"""

from __future__ import annotations

from dataclasses import replace

from mta.lib.deliver_completed import deliver_completed
from mta.lib.delivered_hdr import DeliveredHeaders
from mta.lib.dsn_filter import set_dsn_filter
from mta.lib.requests import DEL_REQ_FLAG_SUCCESS, DeliverReply, DeliverRequest
from mta.lib.table_changes import must_begin_anew
from mta.local.forward import Forwards
from mta.local.recipient import deliver_recipient
from mta.local.state import Agent, State, UserAttr
from mta.master.server import Process, Program, program
from mta.system import Wait


@program("local")
class Local(Program):
    """One process of local(8)."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self._begin()

    def _begin(self) -> None:
        process = self.process
        name = "local_delivery_status_filter"
        set_dsn_filter(process, name, process.conf.local_delivery_status_filter)
        self.agent = Agent(process)

    def serve(self, request: DeliverRequest) -> Wait[DeliverReply]:
        """Delivers to the recipients of a request, one after the other."""
        process = self.process
        if must_begin_anew(process):
            self._begin()
        utf8 = bool(process.conf.smtputf8_enable)
        loop_info = DeliveredHeaders(request.file, request.data_offset, utf8)
        deferred = False
        for recipient in request.recipients:
            forwards = Forwards(process, request)
            rcpt = replace(recipient, queue=None)
            state = State.start(self.agent, request, loop_info, forwards, rcpt)
            done = yield from deliver_recipient(state, UserAttr())
            done = yield from forwards.finish(state, done)
            if not done:
                deferred = True
            elif request.flags & DEL_REQ_FLAG_SUCCESS:
                deliver_completed(request.file, recipient.offset)
        return DeliverReply(deferred)
