"""Sensors: they ask nw_platform whether there is something to do, and request runs."""
