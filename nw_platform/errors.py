"""Every error that Neverwinter raises on purpose.

NeverwinterError                 one line: what is wrong, where, what to do
|-- ConfigError                  the configuration is refused (exit 2)
|   `-- SecretError              a secret cannot be had from where it is kept       [retriable]
|-- UsageError                   a command was called wrongly (exit 2)
|-- RequirementError             a program or download that a command needs is not there (exit 2)
|-- SourceError                  a source cannot be read now; others go on        [retriable]
|   `-- DamagedFileError         a file is broken from some position on           [not retriable]
|-- LakeError                    the lake cannot be read or written
|   |-- UnreachableLakeError     its storage does not answer: nothing is known    [retriable]
|   |-- CommitConflictError      somebody else committed first: read again, redo  [retriable]
|   `-- SchemaConflictError      a column's declared type is not the lake's
|-- IncompleteError              an hour is not whole: a report on it is refused
|-- DeliveryError                a message did not reach a channel, or that is not known
|-- ExpiredError                 what is asked for was deleted by retention
`-- InvariantError               an equation of the protocol does not hold: nothing was committed
"""

from __future__ import annotations

__all__ = [
    "CommitConflictError",
    "ConfigError",
    "DamagedFileError",
    "DeliveryError",
    "ExpiredError",
    "IncompleteError",
    "InvariantError",
    "LakeError",
    "NeverwinterError",
    "RequirementError",
    "SchemaConflictError",
    "SecretError",
    "SourceError",
    "UnreachableLakeError",
    "UsageError",
]


class NeverwinterError(Exception):
    """Base of all. `exit_code` is what a command ends with when the error reaches its top."""

    exit_code = 1
    retriable = False


class ConfigError(NeverwinterError):
    """The configuration is wrong; nothing was started."""

    exit_code = 2


class SecretError(ConfigError):
    """A secret cannot be had from where it is kept. Its text holds no secret."""

    exit_code = 1
    retriable = True


class UsageError(NeverwinterError):
    """A command was called wrongly."""

    exit_code = 2


class RequirementError(NeverwinterError):
    """A program or a download that a command needs is not on this machine; nothing was started."""

    exit_code = 2


class SourceError(NeverwinterError):
    """A source cannot be read at the moment."""

    retriable = True


class DamagedFileError(SourceError):
    """A file cannot be read past `position` (bytes, unpacked)."""

    retriable = False

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class LakeError(NeverwinterError):
    """The lake cannot be read or written."""


class UnreachableLakeError(LakeError):
    """The storage does not answer, so it is not known whether the lake is the one that is meant."""

    retriable = True


class CommitConflictError(LakeError):
    """Another writer committed first; the step is to be redone from a fresh snapshot."""

    retriable = True


class SchemaConflictError(LakeError):
    """A declared column has another type than the same column in the lake."""


class IncompleteError(NeverwinterError):
    """raw and logs + duplicates of an hour differ."""


class DeliveryError(NeverwinterError):
    """A message did not reach a channel, or that is not known. Its text holds no secret."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        """`is_final`: trying again is useless."""
        super().__init__(message)
        self.is_final = is_final


class ExpiredError(NeverwinterError):
    """The raw data that is needed was deleted by retention."""


class InvariantError(NeverwinterError):
    """received = normal + error + watchdog + duplicates, or a like equation, does not hold."""
