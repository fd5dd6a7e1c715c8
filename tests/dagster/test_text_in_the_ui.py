"""What logs and file names say is shown by the UI as it is: Markdown in it means nothing."""

from __future__ import annotations

import re

import dagster as dg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from assets.checks import evaluation, result
from assets.markdown import plain
from nw_platform.alerts.text import one_line
from nw_platform.watchdog.findings import Finding

MARKDOWN = MarkdownIt("commonmark").enable(["strikethrough", "table"])


def shown(markdown: str) -> tuple[str, set[str]]:
    """The text that a reader sees, and the kinds of everything that is not just text or an address as code."""
    tokens = MARKDOWN.parse(markdown)
    blocks = {token.type for token in tokens} - {"paragraph_open", "inline", "paragraph_close"}
    inline = [part for token in tokens for part in token.children or ()]
    kinds = {part.type for part in inline if not (part.type == "code_inline" and is_address(part.content))}
    return "".join(part.content for part in inline), (blocks | kinds) - {"text", "text_special"}


def is_address(text: str) -> bool:
    return re.match(r"(https?://|www\.)", text, re.IGNORECASE) is not None


@given(
    st.text(alphabet=st.sampled_from("\\`*_[]()<>&~|!#-+=.:/1a b;\"'\n\x1b\u202e\u00e4"), max_size=40)
    | st.lists(
        st.sampled_from(
            ["![x](", "http://evil/x", "www.evil.com", ")", "[Repair](", "`", "``", "**", "_", "&lt;", "&#60;", "<b>",
             "</b>", "a_b", " ", "~~", "|", "\n", "---", "# ", "1. ", "- ", "\\", "<http://x.y>", "a@b.example"]
        ),
        max_size=8,
    ).map("".join)
)  # fmt: skip
@example("1) a")
@example("- - -")
@example("a http://x.y/`**b**`")
def test_markdown_in_data_means_nothing_and_every_character_is_shown(text: str):
    assert shown(plain(text)) == (one_line(text), set())


@pytest.mark.parametrize(
    "text",
    [
        "raw/web 2026-11-22T05: bytes 1-2 of in/call_log-2026_11_22.csv (damaged at byte 7): nw ingest --stream web",
        "5 of 25 lines are errors (20.00 %, allowed: 5 %), what & why!",
        "volume of my_stream: -80 %, 'a' + 'b' = #3",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str):
    assert plain(text) == text


def test_no_address_is_left_for_the_ui_to_make_a_link_of():
    made = plain("host ![x](http://evil/p.png) see HTTPS://evil/a_b_c or www.evil.com, xhttp://a.b")
    outside = re.sub(r"`[^`]*`", "", made)
    assert not re.search(r"https?://|www\.", outside, re.IGNORECASE)


def test_an_evaluation_holds_no_markdown_and_no_control_characters():
    name = "h\x1b[31m ![x](http://evil/p.png) [Repair here](https://evil) *b* &lt;"
    finding = Finding(
        "silence", "logs/web", "web", "2026-11-22T05", name, passed=False, severity="error",
        message=f"logs/web: host {name} was last seen", repair=f"nw x {name}",
        numbers={f"{name}: state": "down\x07", "n": 1},
    )  # fmt: skip
    for stored in (evaluation(finding), result(finding)):
        text, kinds = shown(stored.description or "")
        assert kinds == set()
        assert text == one_line(finding.message)
        told: list[object] = [*stored.metadata, *(value.value for value in stored.metadata.values())]
        assert all(part.isprintable() for part in told if isinstance(part, str))
        assert stored.metadata["n"] == dg.MetadataValue.int(1)
        assert any(key.startswith("h [31m ![x]") for key in stored.metadata)  # keys and values are no Markdown
