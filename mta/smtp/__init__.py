"""smtp(8) and lmtp(8): the client that delivers mail to other hosts."""
