"""Masking is the same however output comes in pieces, and lets no value through in any form."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodywork.stage.masking import MASK, Masker, mask, needles

# Few characters, so that texts are full of beginnings and overlaps of values.
NARROW = st.text(alphabet="ab\n", min_size=1, max_size=8)
WIDE = st.text(alphabet=st.characters(exclude_characters="*", exclude_categories=["Cs"]), max_size=30)
TEXTS = st.lists(st.text(alphabet="ab\r\n c", max_size=12), max_size=12).map("".join)


def in_pieces(values: list[str], data: bytes, cuts: list[int]) -> list[bytes]:
    """What a masker gives for each piece, and in the end."""
    masker, edges = Masker(values), sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    given_out = [masker.feed(data[a:b]) for a, b in pairwise(edges)]
    return [*given_out, masker.end()]


def plain(data: bytes) -> bytes:
    return data.translate(None, b"\r\n")


def long_enough(value: str) -> bool:
    """Line ends do not count: they are not looked at."""
    return len(value.strip().replace("\r", "").replace("\n", "")) >= 4


@given(st.lists(NARROW, max_size=3), TEXTS, st.lists(st.integers(0, 200), max_size=20))
def test_any_pieces_give_the_same(values: list[str], text: str, cuts: list[int]) -> None:
    data = text.encode()
    assert b"".join(in_pieces(values, data, cuts)) == mask(values, text).encode()


@given(st.lists(NARROW, max_size=3), TEXTS)
def test_what_is_left_holds_no_value_and_nothing_else_is_lost(values: list[str], text: str) -> None:
    """Against a slow, plain way to say which bytes belong to a value."""
    data = plain(text.encode())
    hidden = [False] * len(data)
    for needle in needles(values):
        for at in range(len(data)):
            if data.startswith(needle, at):
                hidden[at : at + len(needle)] = [True] * len(needle)
    left = bytes(octet for octet, covered in zip(data, hidden, strict=True) if not covered)
    assert plain(mask(values, text).encode()).replace(MASK, b"") == left


@given(WIDE.filter(long_enough), WIDE, WIDE, st.lists(st.integers(0, 500), max_size=8))
def test_no_form_of_a_value_comes_through(value: str, before: str, after: str, cuts: list[int]) -> None:
    whole = (before + value + after).encode()
    forms = {
        value.encode(),
        repr(value)[1:-1].encode(),
        json.dumps(value)[1:-1].encode(),
        quote(value, safe="").encode(),
        quote_plus(value).encode(),
        base64.b64encode(value.encode()),
        base64.urlsafe_b64encode(value.encode()).rstrip(b"="),
    }
    printed = b" ".join([whole, *forms, base64.b64encode(whole), base64.encodebytes(whole)])
    out = b"".join(in_pieces([value], printed, cuts))
    assert not [form for form in forms if form in out or plain(form) in plain(out)]
    assert not [needle for needle in needles([value]) if needle in plain(out)]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("token hunter2, again hunter2\n", "token ***, again ***\n"),
        ("hunter2hunter2", "******"),
        ("hunt", "hunt"),
        ("hun\r\nter2\n", "***\n"),
        ("hunter", "hunter"),
        ("in hunhunter2", "in hun***"),
    ],
)
def test_what_it_looks_like(text: str, masked: str) -> None:
    assert mask(["hunter2"], text) == masked


def test_lines_of_a_value_count_each() -> None:
    key = "-----BEGIN KEY-----\nMIIabc\nxyzw\n-----END KEY-----\n"
    assert mask([key], f"got {key}") == "got ***\n"
    assert mask([key], "1: MIIabc\n2: xyzw\n") == "1: ***\n2: ***\n"


def test_short_and_blank_values_are_left_alone() -> None:
    assert mask(["abc", "", "    ", "a\nb\nc"], "abc is here\n    a\n") == "abc is here\n    a\n"


def test_silence_gives_whole_lines_and_keeps_the_beginning_of_a_value() -> None:
    masker = Masker(["hunter2"])
    assert masker.feed(b"so it is: hunt\n") == b"so it is: "
    assert masker.settle() == b"hunt\n"
    assert masker.feed(b"once more: hunt") == b"once more: "
    assert masker.settle() == b""
    assert masker.holds
    assert masker.feed(b"er2!\n") == b"***!\n"
    assert not masker.holds


def test_what_is_held_stays_small() -> None:
    masker = Masker(["a" * 40])
    for _ in range(50):
        masker.feed(b"a" * 1000)
        assert len(masker._held) < 40
    for _ in range(5):
        masker.feed(b"\n" * (1 << 20))
        assert len(masker._held) <= 1 << 20
