"""Whatever a log line or a file name holds: it stays text in every channel."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import SMTP, compat32, default
from html.parser import HTMLParser
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nw_platform.alerts import text
from nw_platform.alerts.channels import anyservice, mail, pagerduty, slack, sms, snmp, webhook
from nw_platform.alerts.message import Message
from tests.alerts.channels.receivers import event, message

ATTACKS = st.sampled_from(
    [
        "<!channel>", "<!here|x>", "<@U012AB3CD>", "<#C0123>", "@here", "@everyone", "<!subteam^S1>",
        "&lt;!channel&gt;", "<http://evil.example|click>", "\r\nBcc: everyone@example.com\r\n",
        "\nSubject: other\n\nbody", "\r\n.\r\n", "=?utf-8?q?a=0D=0ABcc:_x@example.com?=", "=?utf-8?b?PHNjcmlwdD4=?=",
        "<script>alert(1)</script>", '"><img src=x>', "</td></table>", "[a](http://evil)", "![a](http://evil)", "`x`",
        "*b*", "\x00\x1b[31m\x07", "\u202e\u2066\u200b", "\u2028\u2029\x85\x0b\x0c", "\ud800", "\U000e0001\ufffe",
        "{{7*7}}", "${jndi:ldap://x}", "\U0001f9ca" * 40, "'", "|",
    ]
)  # fmt: skip
WORDS = st.one_of(ATTACKS, st.text(max_size=60), st.text(alphabet="<>&@!#|[]()=?\r\n\t \"'hereall", max_size=40))
TEXTS = st.lists(WORDS, max_size=6).map("".join)
EVENTS = st.builds(
    event,
    check=TEXTS.map(lambda said: said or "silence"),
    stream=TEXTS,
    subject=TEXTS,
    partition=st.sampled_from(["", "2026-11-22T05"]),
    severity=st.sampled_from(["warn", "error"]),
    transition=st.sampled_from(["opened", "reminded", "acknowledged", "resolved"]),
    message=TEXTS,
    repair=TEXTS,
    note=TEXTS,
    group=TEXTS,
)
MESSAGES: st.SearchStrategy[Message] = st.lists(EVENTS, min_size=1, max_size=3).map(lambda found: message(*found))
LINK = "http://dagster:3000"


def law(check: Callable[[Message], None]) -> Callable[[], None]:
    # Making an example of such texts smaller takes minutes, and tells no more.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(max_examples=60, deadline=None, phases=phases)(given(MESSAGES)(check))


def is_clean(line: str) -> bool:
    return all(unicodedata.category(character)[0] != "C" for character in line) and "\u2028" not in line


@law
def test_words_are_lines_of_visible_characters(sent):
    assert all(is_clean(line) for line in text.long_text(sent, LINK).split("\n"))
    assert is_clean(text.headline(sent))
    assert len(text.headline(sent)) <= 150
    for one in sent.events:
        assert all(is_clean(f"{label}{value}") for label, value in text.facts(one))


@law
def test_slack_reads_no_markup_and_no_mention(sent):
    made = slack.payload(sent, LINK)
    links = 0
    for place in texts_of(made["blocks"]):
        if place["type"] == "mrkdwn":
            assert re.fullmatch(r"<http://dagster:3000/[^<>|\s]*\|(Open|The first of them) in Dagster>", place["text"])
            links += 1
        else:
            assert place == {"type": "plain_text", "text": place["text"], "emoji": False}
            assert not re.search(r"<[!@#]|@\w", place["text"])
            assert place["text"]
    assert links == 1
    assert made["mrkdwn"] is False
    assert not re.search(r"[<>]|@\w|&(?!amp;|lt;|gt;)", made["text"])


@law
def test_slack_limits_hold(sent):
    blocks = slack.payload(sent, LINK)["blocks"]
    assert len(blocks) <= 50
    for block in blocks:
        limit = 150 if block["type"] == "header" else 3000
        assert all(len(place["text"]) <= limit for place in texts_of(block))
        assert len(block.get("fields", [])) <= 10
    json.dumps(blocks).encode()


def texts_of(made: Any) -> list[dict[str, Any]]:
    """All text objects in a message's blocks."""
    if isinstance(made, list):
        return [place for one in made for place in texts_of(one)]
    if isinstance(made, dict):
        if made.get("type") in {"mrkdwn", "plain_text"}:
            return [made]
        return texts_of(list(made.values()))
    return []


@law
def test_a_mail_has_our_headers_and_no_others(sent):
    data = mail.compose(sent, "Neverwinter <nw@example.com>", ["ops@example.com"], LINK).as_bytes(policy=SMTP)
    for policy in (default, compat32):
        read = message_from_bytes(data, policy=policy)
        assert sorted(read.keys()) == sorted(
            [
                *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"),
                *("MIME-Version", "Content-Type"),
            ]
        )
        assert read["To"] == "ops@example.com"
        assert [part.get_content_type() for part in read.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    folded = message_from_bytes(data, policy=compat32)["Subject"]
    subject = str(make_header(decode_header(re.sub(r"\r?\n(?=[ \t])", "", folded))))
    assert subject == text.headline(sent).replace("=?", "= ?") == message_from_bytes(data, policy=default)["Subject"]
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    assert b"\n" not in data.replace(b"\r\n", b"")
    read = message_from_bytes(data, policy=default)
    said = read.get_body(("plain",)).get_content().replace("\r\n", "\n")  # type: ignore[union-attr]
    assert said.split("\n")[0] == text.headline(sent)


class Tags(HTMLParser):
    """The tags and the attributes of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name == "href"]


@law
def test_a_mail_has_our_tags_and_no_others(sent):
    read = message_from_bytes(
        mail.compose(sent, "nw@example.com", ["ops@example.com"], LINK).as_bytes(), policy=default
    )
    tags = Tags()
    tags.feed(read.get_body(("html",)).get_content())  # type: ignore[union-attr]
    ours = ["html", "body", "h3", "p", "table", "tr", "th", "td", "a", "small", "ul", "li", "code"]
    assert {tag for tag, _ in tags.found} <= set(ours)
    assert all(names == () or (tag, names) in {("th", ("align",)), ("a", ("href",))} for tag, names in tags.found)
    assert all(address.startswith("http://dagster:3000/") for address in tags.addresses)
    assert len(tags.addresses) == 1


@law
def test_a_text_message_is_one_short_line_with_its_id(sent):
    body = sms.body(sent, LINK)
    assert is_clean(body)
    assert len(body) <= 320
    assert body.endswith(f" id {sent.id}")


@law
def test_a_trap_holds_lines_of_utf_8_with_its_id(sent):
    values = snmp.objects(sent, LINK)
    assert len(values) == 15
    strings = [bytes(value) for position, value in enumerate(values, 1) if position not in {6, 7, 14}]
    assert all(is_clean(value.decode()) for value in strings)
    assert sum(map(len, strings)) <= 920
    assert strings[-1].decode() == sent.id


@law
def test_a_webhook_is_json_whose_texts_are_lines(sent):
    made = json.loads(json.dumps(webhook.document(sent, LINK)))
    assert made["idempotency_key"] == sent.id
    assert is_clean(made["message"])
    assert is_clean(made["repair"])
    for one in sent.events:
        event_made = json.loads(json.dumps(pagerduty.document(one, sent, LINK)))
        assert is_clean(event_made["payload"]["summary"])
        assert len(event_made["payload"]["summary"]) <= 1024
        assert len(event_made["dedup_key"].encode()) <= 255


@law
def test_a_service_of_apprise_gets_no_mention_and_no_tag(sent):
    said = anyservice.parted(text.headline(sent)) + "\n" + anyservice.parted(text.long_text(sent))
    assert not re.search(r"<[!@#/?A-Za-z]|@\w|\][(\[]", said)
    assert all(is_clean(line.replace("\u200b", "")) for line in said.split("\n"))


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_what_is_cut_says_so(said, limit):
    made = text.cut(said, limit)
    assert len(made) <= limit
    assert made == said or made.endswith("..."[:limit])


@given(st.sampled_from(["javascript:alert(1)", "data:text/html,x", "http://d:3000/a b<>|\"'\n`", "", "//x", "ftp://x"]))
def test_only_addresses_of_pages_become_links(address):
    made = text.link_of(message(links={event().key: address}))
    assert made == "" or re.fullmatch(r"https?://[^\s<>|\"`]+", made)
