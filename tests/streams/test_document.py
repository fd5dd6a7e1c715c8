import json
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nw_platform.errors import ConfigError
from nw_platform.streams.document import path_text, read

LETTERS = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn"), exclude_characters="\x85\ufeff\u2028\u2029"
)
TEXT = st.text(LETTERS, max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_json_means_the_same_as_yaml(value):
    assert read(json.dumps(value, ensure_ascii=False), "x").data == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("by: 16:30", {"by": "16:30"}),
        ("a: no", {"a": "no"}),
        ("a: on", {"a": "on"}),
        ("a: 010", {"a": "010"}),
        ("a: 1_000", {"a": "1_000"}),
        ("a: 2026-11-22", {"a": "2026-11-22"}),
        ("a: .inf", {"a": ".inf"}),
        ("a: true", {"a": True}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("no: 1", {"no": 1}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}", {"a": {"b": 1}, "c": {"b": 2}}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert read(text, "x").data == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "x:2: a: declared twice, first on line 1"),
        ("a: [{b: 1, b: 2}]", "x:1: a[0].b: declared twice"),
        ("a: 1\n'a': 2", "x:2: a: declared twice"),
        ("1: a", 'x:1: 1: a key must be a text; write it in quotes: "1"'),
        ("? [a]\n: b", "x:1: ?: a key must be a text"),
        ("a: &x [*x]", "an alias that contains itself"),
        ("a: !!python/object:os.system {}", "x:1:4: this is no YAML: could not determine a constructor"),
        ("a: b: c", "x:1:5: this is no YAML"),
        ("a: 1\n---\nb: 2", "x:2:1: this is no YAML"),
        ("a: \x00", "this is no YAML"),
        ("a: {b: 1}}", "this is no YAML"),
        ("\ta: 1", "this is no YAML"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ConfigError) as error:
        read(text, "x")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_aliases_blow_up_is_refused_quickly():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError, match="too large"):
        read("\n".join(rows), "x")


NINE = range(9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (["a0: &a0 lol", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))], "aliases make it"),
        (
            [
                "a0: &a0 {k: lol}",
                *(f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in NINE)}}}" for n in range(1, 40)),
            ],
            "aliases make it",
        ),
        (
            ["a0: &a0 {k: lol}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 40))],
            "aliases make it",
        ),
        (["a0: &a0 {k: v}", *(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: v}}" for n in range(1, 3000))], "aliases make it"),
        ([f"a: &a {'x' * 1000}", f"b: [{', '.join(['*a'] * 60_000)}]"], "aliases make it"),
        (["[" * 100_000], "more than 64 deep"),
        (["{a: " * 50_000], "more than 64 deep"),
        ([f"a: [{', '.join(['x'] * 600_000)}]"], "it is too large"),
    ],
    ids=["lists", "maps", "merges", "chain", "texts", "deep lists", "deep maps", "long"],
)
def test_bombs_are_one_line_in_bounded_memory(text, message):
    joined = "\n".join(text)
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError) as error:
            read(joined, "x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message in str(error.value)
    assert re.match(r"x:\d+: ", str(error.value))
    assert len(str(error.value).splitlines()) == 1
    assert peak < 16 << 20


def test_aliases_that_real_files_have_are_read():
    text = "x: &x {kind: volume, min_lines: 1}\nl: [" + ", ".join(["*x"] * 1000) + "]\nm: {<<: *x, every: 1h}"
    assert read(text, "x").data["m"] == {"kind": "volume", "min_lines": 1, "every": "1h"}


def test_lines_of_keys_and_items():
    document = read("a:\n  b: 1\n  c:\n    - x\n    - d: 2\n", "x")
    assert document.line_of(("a", "b")) == 2
    assert document.line_of(("a", "c", 1, "d")) == 5
    assert document.line_of(("a", "c", 1, "missing")) == 5


def test_paths_are_written_as_one_would_say_them():
    assert path_text(("streams", "app", "expect", 0, "every")) == "streams.app.expect[0].every"
