"""What runs print: everything is in the event log, so the console of a server shows only what went wrong."""

import logging

import dagster as dg


def _quiet_console(context: dg.InitLoggerContext) -> logging.Logger:
    """The console logger of every run."""
    del context
    logger = logging.getLogger("neverwinter.run")
    logger.setLevel(logging.WARNING)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
    logger.propagate = False
    return logger


quiet_console = dg.LoggerDefinition(_quiet_console, description="Warnings and worse, to standard error.")
