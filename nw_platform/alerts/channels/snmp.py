"""SNMP notifications, version 2c and 3: what nw_platform/alerts/mib/NEVERWINTER-MIB.txt describes."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from pysnmp.hlapi.v3arch import asyncio as hlapi
from pysnmp.proto.rfc1902 import Integer32, ObjectIdentifier, OctetString, Unsigned32

from nw_platform.alerts import text
from nw_platform.alerts.alert import PLATFORM, Event
from nw_platform.alerts.channels.attempt import Outlet, RefusedError
from nw_platform.alerts.message import Message
from nw_platform.record.hours import to_iso
from nw_platform.streams import channels as declared

__all__ = ["ENGINE_ID", "Snmp", "engine_time", "objects"]

_MIB: Final = (1, 3, 6, 1, 4, 1, 32473, 78)
_TRAP_OID: Final = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
_TRANSITIONS: Final = {"opened": 1, "reminded": 2, "acknowledged": 3, "resolved": 4}
_DIGEST: Final = 5
_SEVERITIES: Final = {"warn": 1, "error": 2}
# RFC 3411: the first bit set, the enterprise, 4 for text, the text. Receivers of version 3 traps are told of it.
ENGINE_ID: Final = bytes.fromhex("80007ed904") + b"neverwinter"

_SINCE: Final = 1_735_689_600  # 2025-01-01
_BOOT_S: Final = 600
_STARTED: Final = time.time(), time.monotonic()

# Bytes of UTF-8. A datagram stays below 1,400 bytes, so that no network on its way has to part it.
_LIMITS: Final = {"check": 32, "stream": 64, "partition": 16, "subject": 100, "key": 140, "repair": 120, "note": 60}
_TEXT: Final = 480
_LINK: Final = 120
_ALL: Final = 900
_SHORTEST_PHRASE: Final = 8  # RFC 3414
_INFORM_S: Final = 2.5
_RETRIES: Final = 2
_WRONG_LOGIN: Final = frozenset(
    {"AuthenticationFailure", "DecryptionError", "UnknownUserName", "UnsupportedSecurityLevel", "WrongDigest"}
)

_AUTH: Final = {
    "md5": hlapi.usmHMACMD5AuthProtocol,
    "sha": hlapi.usmHMACSHAAuthProtocol,
    "sha224": hlapi.usmHMAC128SHA224AuthProtocol,
    "sha256": hlapi.usmHMAC192SHA256AuthProtocol,
    "sha384": hlapi.usmHMAC256SHA384AuthProtocol,
    "sha512": hlapi.usmHMAC384SHA512AuthProtocol,
}
_PRIVACY: Final = {
    "des": hlapi.usmDESPrivProtocol,
    "aes": hlapi.usmAesCfb128Protocol,
    # With keys as the draft of Blumenthal makes them, which net-snmp calls AES-192 and AES-256.
    "aes192": hlapi.usmAesBlumenthalCfb192Protocol,
    "aes256": hlapi.usmAesBlumenthalCfb256Protocol,
}


class Snmp(Outlet[declared.Snmp]):
    """A host that takes traps or informs. A trap is not confirmed: sent is all that can be known of it."""

    def _deliver(self, message: Message) -> None:
        asyncio.run(self._notify(message, self._credentials()))

    def _credentials(self) -> Any:  # noqa: ANN401  (the library has no types)
        declaration = self._declaration
        if declaration.version == 2:  # noqa: PLR2004  (a version)
            community = self._read(declaration.community or "")
            return hlapi.CommunityData(community, mpModel=1)  # noqa: S508  (declared so)
        return hlapi.UsmUserData(
            self._read(declaration.user or ""),
            authKey=self._phrase("auth"),
            privKey=self._phrase("privacy"),
            authProtocol=_AUTH[declaration.auth_protocol] if declaration.auth else None,
            privProtocol=_PRIVACY[declaration.privacy_protocol] if declaration.privacy else None,
        )

    def _phrase(self, key: str) -> str | None:
        secret = getattr(self._declaration, key)
        if secret is None:
            return None
        phrase = self._read(secret)
        if len(phrase.encode()) < _SHORTEST_PHRASE:
            raise RefusedError(f"the passphrase of {key} is shorter than {_SHORTEST_PHRASE} characters", is_final=True)
        return phrase

    async def _notify(self, message: Message, credentials: Any) -> None:  # noqa: ANN401  (the library has no types)
        engine = _engine()
        try:
            target = await self._target()
            number = _DIGEST if message.is_digest else _TRANSITIONS[message.events[0].transition]
            bindings = [
                (_TRAP_OID, ObjectIdentifier((*_MIB, 0, number))),
                *(((*_MIB, 1, position, 0), value) for position, value in enumerate(objects(message, self._link), 1)),
            ]
            error, status, _, _ = await hlapi.send_notification(
                engine,
                credentials,
                target,
                hlapi.ContextData(),
                "inform" if self._declaration.inform else "trap",
                *(hlapi.ObjectType(hlapi.ObjectIdentity(oid), value) for oid, value in bindings),
                lookupMib=False,
            )
            await _sent(engine, target.TRANSPORT_DOMAIN)
        finally:
            engine.close_dispatcher()
        if error is not None:
            raise RefusedError(
                f"the host does not confirm: {text.one_line(str(error), 200)}",
                is_final=type(error).__name__ in _WRONG_LOGIN,
            )
        if int(status):
            raise RefusedError(f"the host refuses the notification: status {int(status)}", is_final=False)

    async def _target(self) -> Any:  # noqa: ANN401  (the library has no types)
        host, port = self._declaration.host, self._declaration.port
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, *_, address = found[0]
        transport = hlapi.Udp6TransportTarget if family == socket.AF_INET6 else hlapi.UdpTransportTarget
        return await transport.create(address[:2], timeout=_INFORM_S, retries=_RETRIES)


def objects(message: Message, link: str | None = None) -> list[Any]:
    """The values of nwAlertKey to nwMessageId, in that order; texts cut so that all of them fit into a datagram."""
    first = message.events[0]
    said = _in_common(message.events)
    said["key"] = text.short_key(f"digest|{message.id}" if message.is_digest else first.key, _LIMITS["key"]).encode()
    said["id"] = text.one_line(message.id).encode()
    if not message.is_digest:
        said["since"] = (text.since_of(first) or "").encode()
        said["opened"] = to_iso(first.opened).encode()
    address = text.link_of(message, link).encode()
    said["link"] = address if len(address) <= _LINK else b""
    whole = "; ".join(text.summary(message)) if message.is_digest else text.one_line(first.message)
    left = _ALL - sum(map(len, said.values()))
    said["message"] = _fit(f"[test] {whole}" if message.is_test else whole, min(_TEXT, left))

    def texts(*names: str) -> list[OctetString]:
        return [OctetString(said.get(name, b"")) for name in names]

    return [
        *texts("key", "check", "stream", "partition", "subject"),
        Integer32(_SEVERITIES[first.severity]),
        Integer32(_TRANSITIONS[first.transition]),
        *texts("message", "repair", "since", "opened", "note", "link"),
        Unsigned32(len(message.events)),
        *texts("id"),
    ]


def _in_common(events: Sequence[Event]) -> dict[str, bytes]:
    """What all of the alerts say alike; what they do not is empty."""
    values = {
        name: {getattr(event, name) for event in events} for name in ("check", "stream", "partition", "subject", "note")
    }
    values["repair"] = {text.repair_of(event) for event in events}
    values["stream"] = {stream or PLATFORM for stream in values["stream"]}
    return {
        name: _fit(text.one_line(found.pop()), _LIMITS[name]) if len(found) == 1 else b""
        for name, found in values.items()
    }


def _engine() -> Any:  # noqa: ANN401  (the library has no types)
    """An engine whose boots and time continue those of the one before, although a new one is made for each message."""
    engine = hlapi.SnmpEngine()
    boots, seconds = engine_time(time.time(), time.monotonic())
    for name, value in {"snmpEngineID": ENGINE_ID, "snmpEngineBoots": boots, "snmpEngineTime": seconds}.items():
        (instance,) = engine.get_mib_builder().import_symbols("__SNMP-FRAMEWORK-MIB", name)
        instance.syntax = instance.syntax.clone(value)
        if name == "snmpEngineID":
            engine.snmpEngineID = instance.syntax
    return engine


def engine_time(wall: float, steady: float) -> tuple[int, int]:
    """SnmpEngineBoots and snmpEngineTime, from the clock: all processes that send agree without telling each other.

    Receivers of version 3 drop in silence what differs by more than 150 s from what they expect of an engine, and what
    has fewer boots (RFC 3414, 2.2.3 and 3.2). The library keeps boots in a folder for temporary files, and time
    nowhere. Here an engine "boots" every ten minutes by the clock: should that be set right, receivers come along soon.
    Within a process it does not go back.
    """
    started, at = _STARTED
    boots, seconds = divmod(int(max(wall, started + steady - at)) - _SINCE, _BOOT_S)
    return max(1, boots), seconds


async def _sent(engine: Any, domain: tuple[int, ...]) -> None:  # noqa: ANN401  (the library has no types)
    """Until the socket is open: before that the library keeps what is to be sent. The attempt's deadline bounds it."""
    transport = engine.transport_dispatcher.get_transport(domain)
    while transport.transport is None:  # noqa: ASYNC110  (the library sets it, and tells nobody)
        await asyncio.sleep(0.01)


def _fit(said: str, most: int) -> bytes:
    """At most so many bytes of a text, cut between characters."""
    data = said.encode()
    if len(data) <= most:
        return data
    return data[: max(0, most - 3)].decode(errors="ignore").encode() + b"..."
