"""Declarations of streams: what a configuration file may say, and the refusal of what it may not."""
