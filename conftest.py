"""Configuration that all tests share."""
