"""SASL mechanisms as Cyrus SASL 2.1.28 has them: which is chosen, what it says, how it fails."""
