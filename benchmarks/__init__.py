"""Measurements as commands. Ratios against a peer in the same run; absolute figures of one machine mean little."""
