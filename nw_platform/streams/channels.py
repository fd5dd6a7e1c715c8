"""Where alerts go: channels and the routes to them. Validated now; delivered by nw_platform/alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nw_platform.streams.quantities import DurationOrNever, refusal
from nw_platform.streams.secrets import Secret, SecretAddress, SecretUrl, TextOrSecret
from nw_platform.streams.strict import Part, Text, as_written

Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Addresses = Annotated[tuple[Text, ...], Field(min_length=1)]
CaFile = Annotated[
    Text | None, Field(description="A file of certificates (PEM) that are trusted too: of a server of your own.")
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
    headers: dict[Text, TextOrSecret] = Field(default={}, description="Headers to send; values may be references.")
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


class Route(Part):
    """Alerts of a severity go to some channels."""

    severity: Literal["error", "warn"] = Field(description="The severity of the alerts.")
    to: Addresses = Field(description="Names of channels.")


class Alerts(Part):
    """Alerts."""

    channels: dict[Text, Channel] = Field(default={}, description="Where alerts can go, by a name of your own.")
    routes: tuple[Route, ...] = Field(default=(), description="Which alerts go where.")
    reminder_us: DurationOrNever = Field(
        default=as_written("1h"), alias="reminder", description="How often an open alert is repeated."
    )
