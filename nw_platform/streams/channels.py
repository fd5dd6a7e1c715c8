"""Where alerts go: channels and the routes to them. Validated now; delivered by nw_platform/alerts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from nw_platform.record.hours import to_us
from nw_platform.streams.expectations import WEEK, Weekday
from nw_platform.streams.fields import Zone
from nw_platform.streams.quantities import Duration, DurationOrNever, refusal
from nw_platform.streams.secrets import REFERENCE_HELP, Secret, SecretAddress, SecretUrl, TextOrSecret
from nw_platform.streams.strict import Part, Text, as_written

Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Addresses = Annotated[tuple[Text, ...], Field(min_length=1)]
CaFile = Annotated[
    Text | None, Field(description="A file of certificates (PEM) that are trusted too: of a server of your own.")
]
Globs = Annotated[tuple[Text, ...], Field(min_length=1)]

PLATFORM: Final = "platform"  # how routes and maintenance speak of alerts about the platform itself
_HOURS: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\s*-\s*(?:(24):(00)|([01]?[0-9]|2[0-3]):([0-5][0-9]))\Z")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?\Z")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110, 5.6.2
_CREDENTIAL: Final = re.compile(
    r"\A(proxy-)?authorization\Z|\Acookie\Z|token|secret|passw|credential|api[._-]?key", re.IGNORECASE
)
_FOREVER: Final = 1 << 62  # microseconds


def _hours(value: object) -> tuple[int, int]:
    """Minutes of the day: the first, and the one it ends at; the end is smaller if it lies on the next day."""
    match = _HOURS.match(value) if isinstance(value, str) else None
    numbers = [int(group) for group in match.groups() if group is not None] if match else []
    if len(numbers) != 4 or numbers[:2] == numbers[2:]:  # noqa: PLR2004  (two hours with their minutes)
        raise refusal('times of day like "08:00-18:00", or "22:00-06:00" over midnight')
    return numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]


def _instant(value: str) -> str:
    try:
        if _TIME.match(value):
            datetime.fromisoformat(value)
            return value
    except ValueError:
        pass
    raise refusal("a time like 2026-11-22T22:00, 2026-11-22T22:00:00Z or 2026-11-22T22:00+01:00")


def _instant_us(text: str, zone: str) -> int:
    """Microseconds since the epoch of an instant; one that names no zone is of `zone`."""
    moment = datetime.fromisoformat(text)
    local = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    return to_us(local.astimezone(UTC))


def _headers(value: dict[str, str | Secret]) -> dict[str, str | Secret]:
    """Headers that can be sent, and of which none has a credential written out. No value is part of an error."""
    for name, said in value.items():
        problem = ""
        if not _HEADER.match(name):  # it may be a whole header, with its value
            problem = "found a name that no header can have (not shown); allowed: letters, digits and -"
            raise PydanticCustomError("secret", "{problem}", {"problem": problem})
        if isinstance(said, str) and _CREDENTIAL.search(name):
            problem = f"found a secret written out (not shown); allowed: {REFERENCE_HELP}"
        elif isinstance(said, str) and not (said.isascii() and said.isprintable()):
            problem = "found a character that no header may hold; allowed: a line of ASCII, or " + REFERENCE_HELP
        if problem:
            raise PydanticCustomError("secret", "{problem}", {"problem": problem, "key": name})
    return value


HoursOfDay = Annotated[
    tuple[int, int],
    BeforeValidator(_hours),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2} ?- ?[0-9]{1,2}:[0-9]{2}$", "x-type": "hours"}),
]
Instant = Annotated[
    Text,
    AfterValidator(_instant),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}", "x-type": "time"}),
]


class Slack(Part):
    """A Slack channel, by an incoming webhook."""

    kind: Literal["slack"]
    url: SecretUrl = Field(description="The incoming webhook's address, or a reference to it.")
    ca_file: CaFile = None


class Email(Part):
    """E-mail."""

    kind: Literal["email"]
    smtp: Annotated[Text, Field(pattern=r"^smtps?://[^\s@/]+$")] = Field(
        description="The mail server: smtp://host:25 or smtps://host:465."
    )
    sender: Text = Field(alias="from", description="The sender's address.")
    to: Addresses = Field(description="The recipients.")
    user: TextOrSecret | None = Field(default=None, description="The account at the mail server; may be a reference.")
    password: Secret | None = Field(default=None, description="A reference to its password.")
    starttls: bool = Field(
        default=True, strict=True, description="smtp://: refuse to go on without encryption. false: send in the clear."
    )
    ca_file: CaFile = None

    @model_validator(mode="after")
    def _login(self) -> Email:
        if (self.user is None) != (self.password is None):
            raise refusal("user and password, or neither of them")
        return self


class Snmp(Part):
    """SNMP traps."""

    kind: Literal["snmp"]
    host: Text = Field(description="The host that takes the traps.")
    port: Port = Field(default=162, description="Its UDP port.")
    version: Literal[2, 3] = Field(default=3, description="The version of SNMP.")
    user: TextOrSecret | None = Field(default=None, description="Version 3: the user; may be a reference.")
    auth: Secret | None = Field(default=None, description="Version 3: a reference to the authentication passphrase.")
    auth_protocol: Literal["sha", "sha224", "sha256", "sha384", "sha512", "md5"] = Field(
        default="sha", description="Version 3: how messages are authenticated."
    )
    privacy: Secret | None = Field(default=None, description="Version 3: a reference to the privacy passphrase.")
    privacy_protocol: Literal["aes", "aes192", "aes256", "des"] = Field(
        default="aes", description="Version 3: how messages are encrypted."
    )
    community: Secret | None = Field(default=None, description="Version 2: a reference to the community.")
    inform: bool = Field(
        default=False, strict=True, description="Send informs, which the host confirms, instead of traps."
    )

    @model_validator(mode="after")
    def _credentials(self) -> Snmp:
        if self.version == 2 and self.community is None:  # noqa: PLR2004  (a version)
            raise refusal("version 2 with a community")
        if self.version == 3 and self.user is None:  # noqa: PLR2004  (a version)
            raise refusal("version 3 with a user")
        if self.privacy is not None and self.auth is None:
            raise refusal("privacy together with auth")
        return self


class Sms(Part):
    """Text messages."""

    kind: Literal["sms"]
    provider: Literal["twilio"] = Field(description="The provider.")
    account: TextOrSecret = Field(description="The account; may be a reference.")
    token: Secret = Field(description="A reference to the token.")
    sender: Text = Field(alias="from", description="The sender's number.")
    to: Addresses = Field(description="The recipients' numbers.")
    url: Annotated[Text, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$")] | None = Field(
        default=None, description="A server of your own that speaks the provider's API; default: the provider's."
    )
    ca_file: CaFile = None


class Webhook(Part):
    """An HTTP endpoint that takes JSON."""

    kind: Literal["webhook"]
    url: SecretUrl = Field(description="Its address, or a reference to it.")
    style: Literal["plain", "pagerduty"] = Field(
        default="plain", description="The JSON: our own, or an event of PagerDuty's Events API v2."
    )
    routing_key: Secret | None = Field(
        default=None, description="pagerduty: a reference to the integration key of the service."
    )
    headers: Annotated[dict[Text, TextOrSecret], AfterValidator(_headers)] = Field(
        default={}, description="Headers to send; values may be references."
    )
    ca_file: CaFile = None

    @model_validator(mode="after")
    def _routed(self) -> Webhook:
        if (self.style == "pagerduty") != (self.routing_key is not None):
            raise refusal("style: pagerduty together with a routing_key, or neither of them")
        return self


class Apprise(Part):
    """Any service that Apprise knows."""

    kind: Literal["apprise"]
    url: SecretAddress = Field(description="The Apprise address, or a reference to it.")
    ca_file: CaFile = None


Channel = Annotated[Slack | Email | Snmp | Sms | Webhook | Apprise, Field(discriminator="kind")]


class Selection(Part):
    """Alerts of some streams and checks, at times of the week."""

    streams: Globs | None = Field(
        default=None, description="Names of streams, with * and ?; platform is the platform itself."
    )
    checks: Globs | None = Field(default=None, description="Names of checks, with * and ?.")
    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = Field(
        default=WEEK, description="Days of the week on which it begins: mon, tue, wed, thu, fri, sat, sun."
    )
    hours: HoursOfDay | None = Field(
        default=None,
        description='Times of day, like "08:00-18:00"; "22:00-06:00" ends on the next day. Without it: whole days.',
    )
    zone: Zone = Field(default="UTC", description="The time zone of days, hours and of times without one.")


class Escalation(Part):
    """Who hears of an alert that nobody has acknowledged."""

    after_us: Duration = Field(alias="after", description="How long after an alert opened.")
    to: Addresses = Field(description="Names of channels.")


class Route(Selection):
    """Alerts that all of these keys fit go to some channels; of several routes that fit, all count."""

    severity: Literal["error", "warn"] | None = Field(default=None, description="The severity of the alerts.")
    to: Addresses = Field(description="Names of channels.")
    escalate: Escalation | None = Field(
        default=None, description="Who hears of it if nobody acknowledges: {after: 30m, to: [boss]}."
    )


class Maintenance(Selection):
    """While this lasts, what fits opens no alert, and none is repeated. What still fails at its end opens then."""

    subjects: Globs | None = Field(
        default=None, description="What of a stream: hosts, files, names of expectations, with * and ?."
    )
    begin: Instant | None = Field(
        default=None, alias="from", description="The instant it begins at, like 2026-11-22T22:00."
    )
    until: Instant | None = Field(default=None, description="The instant it ends at.")

    @model_validator(mode="after")
    def _bounded(self) -> Maintenance:
        if self.begin is not None and self.until is None:
            raise refusal("an `until`, too: without it the window never ends")
        if self.begin is not None and self.until is not None and self.span()[0] >= self.span()[1]:
            raise refusal("an `until` that is after `from`")
        if self.until is None and not self.model_fields_set & {"days", "hours"}:
            raise refusal("from and until, or days or hours: a window that never ends hides everything")
        return self

    def span(self) -> tuple[int, int]:
        """When it begins and when it is over: microseconds since the epoch; without a bound far away."""
        begin = 0 if self.begin is None else _instant_us(self.begin, self.zone)
        return begin, _FOREVER if self.until is None else _instant_us(self.until, self.zone)


class Alerts(Part):
    """Alerts."""

    channels: dict[Text, Channel] = Field(default={}, description="Where alerts can go, by a name of your own.")
    routes: tuple[Route, ...] = Field(default=(), description="Which alerts go where.")
    reminder_us: DurationOrNever = Field(
        default=as_written("1h"), alias="reminder", description="How often an open alert is repeated."
    )
    digest_over: int = Field(
        default=5, ge=1, strict=True, description="More messages than this at a time to a channel become one, a digest."
    )
    maintenance: tuple[Maintenance, ...] = Field(default=(), description="When nobody is to be told of what.")
    link: Annotated[Text, Field(pattern=r"^https?://[^\s@/]+(/\S*)?$")] | None = Field(
        default=None, description="The address of the Dagster UI as readers reach it, for links in messages."
    )
    dead_man: SecretUrl | None = Field(
        default=None,
        description="An address that is called after each evaluation, or a reference to it: it tells when calls stop.",
    )
