"""Slack, by an incoming webhook: Block Kit, with what comes from logs in plain text objects that nothing is read in."""

from __future__ import annotations

import re
from typing import Any, Final

from slack_sdk.models.blocks import ContextBlock, HeaderBlock, MarkdownTextObject, PlainTextObject, SectionBlock

from nw_platform.alerts import text
from nw_platform.alerts.channels.attempt import RefusedError, scrub
from nw_platform.alerts.channels.posting import AnsweredError, PostingOutlet
from nw_platform.alerts.message import Message
from nw_platform.streams import channels as declared

__all__ = ["Slack", "payload"]

_SECTION: Final = 3000  # characters of a section's text
_FIELD: Final = 2000
_FIELDS: Final = 10
_HEADER: Final = 150
_FALLBACK: Final = 2000
_MENTION: Final = re.compile(r"(?<=<)(?=[!@#])|(?<=@)(?=\w)")


class Slack(PostingOutlet[declared.Slack]):
    """A channel of Slack."""

    def _deliver(self, message: Message) -> None:
        url = self._address(self._declaration.url)
        try:
            self._posting(self._declaration.ca_file).post(url, payload(message, self._link))
        except AnsweredError as refused:
            # Slack's own words are short codes: invalid_payload, no_service, channel_is_archived.
            said = scrub(refused.answer, url, *url.split("/")[-3:])
            raise RefusedError(
                f"{refused.reason}: {said}" if said else refused.reason, is_final=refused.is_final
            ) from None


def payload(message: Message, link: str | None = None) -> dict[str, Any]:
    """The JSON of a message: blocks, and a text for notifications (and for servers that know no blocks)."""
    first = message.events[0]
    address = text.link_of(message, link)
    blocks: list[Any] = [HeaderBlock(text=_plain(text.headline(message), _HEADER))]
    if message.is_digest:
        blocks.append(SectionBlock(text=_plain("\n".join(text.summary(message)))))
        blocks.append(SectionBlock(text=_plain("All of them: nw alerts list")))
    else:
        facts = dict(text.facts(first))
        repair = facts.pop("Repair", "")
        blocks.append(SectionBlock(text=_plain(text.one_line(first.message) or first.transition)))
        fields = [_plain(f"{label}\n{value}", _FIELD) for label, value in facts.items()]
        blocks.append(SectionBlock(fields=fields[:_FIELDS]))
        if repair:
            blocks.append(SectionBlock(text=_plain(f"Repair: {repair}")))
    if address:
        blocks.append(SectionBlock(text=MarkdownTextObject(text=f"<{_escaped(address)}|{text.link_label(message)}>")))
    blocks.append(ContextBlock(elements=[_plain(f"id {message.id}")]))
    return {
        "text": _escaped(_unmentioned(text.short_text(message, _FALLBACK, link))),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [block.to_dict() for block in blocks],
    }


def _plain(said: str, limit: int = _SECTION) -> PlainTextObject:
    return PlainTextObject(text=text.cut(_unmentioned(said), limit), emoji=False)


def _escaped(said: str) -> str:
    """Slack's three characters."""
    return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unmentioned(said: str) -> str:
    """Without mentions: what makes one is parted from its word, also for servers like Slack that read plain text."""
    return _MENTION.sub("\u200b", said)
