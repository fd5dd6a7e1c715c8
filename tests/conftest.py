"""What all tests may use."""

from hypothesis import settings

pytest_plugins = ["services"]

# How long an example takes says nothing on a machine that does other things too.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
