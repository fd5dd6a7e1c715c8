"""Expectations x observations x now -> findings. Pure: the clock is an argument and nothing here writes to the lake."""
