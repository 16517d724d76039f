"""local(8), the delivery agent for this machine's users, aliases and commands."""
