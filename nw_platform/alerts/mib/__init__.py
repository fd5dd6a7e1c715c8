"""The MIB of our SNMP notifications, and stand-ins for the base modules that some systems lack."""
