"""trivial-rewrite(8): addresses in standard form, and where they go."""
