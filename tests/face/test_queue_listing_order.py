"""The order of the messages in a listing of the queue."""

from __future__ import annotations

from postlab import Lab


def test_the_newest_message_of_each_queue_comes_first() -> None:
    lab = Lab(seed=1)
    lab.mta(
        "enable_long_queue_ids = yes\nmynetworks = 198.51.100.0/24\ndefer_transports = smtp\n"
        "smtpd_recipient_restrictions = check_sender_access inline:{held1@c.test=HOLD,"
        "held2@c.test=HOLD}, permit_mynetworks\n"
    )
    for sender in ("held1", "late1", "held2", "late2"):
        lab.client("198.51.100.7").mail(f"{sender}@c.test", "x@dest.test", text="x: y\n\n")
    listing = lab.command("postqueue -p").output
    places = [listing.index(name) for name in ("late2@", "late1@", "held2@", "held1@")]
    assert places == sorted(places)
