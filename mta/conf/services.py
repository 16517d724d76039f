"""Parameters that each service has: ``<service><suffix>`` with a common default."""

from __future__ import annotations

#: Suffix and default of the parameters of a message transport, as ``postconf`` orders them.
TRANSPORT_PARAMETERS: dict[str, str] = {
    "_recipient_limit": "default_recipient_limit",
    "_extra_recipient_limit": "default_extra_recipient_limit",
    "_recipient_refill_limit": "default_recipient_refill_limit",
    "_recipient_refill_delay": "default_recipient_refill_delay",
    "_delivery_slot_cost": "default_delivery_slot_cost",
    "_delivery_slot_loan": "default_delivery_slot_loan",
    "_delivery_slot_discount": "default_delivery_slot_discount",
    "_minimum_delivery_slots": "default_minimum_delivery_slots",
    "_initial_destination_concurrency": "initial_destination_concurrency",
    "_destination_concurrency_limit": "default_destination_concurrency_limit",
    "_destination_recipient_limit": "default_destination_recipient_limit",
    "_destination_concurrency_positive_feedback": (
        "default_destination_concurrency_positive_feedback"
    ),
    "_destination_concurrency_negative_feedback": (
        "default_destination_concurrency_negative_feedback"
    ),
    "_destination_concurrency_failed_cohort_limit": (
        "default_destination_concurrency_failed_cohort_limit"
    ),
    "_destination_rate_delay": "default_destination_rate_delay",
}

#: The time limit of an external command.
TIME_LIMIT: dict[str, str] = {"_time_limit": "command_time_limit"}

#: The parameters of a service by the program that it runs.
SERVICE_PARAMETERS: dict[str, dict[str, str]] = {
    "local": TRANSPORT_PARAMETERS,
    "error": TRANSPORT_PARAMETERS,
    "virtual": TRANSPORT_PARAMETERS,
    "smtp": TRANSPORT_PARAMETERS,
    "lmtp": TRANSPORT_PARAMETERS,
    "pipe": TIME_LIMIT | TRANSPORT_PARAMETERS,
    "spawn": TIME_LIMIT,
}
