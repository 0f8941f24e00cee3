"""Globs mean what the documentation says, and cost one step for each character of the key."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import InputInvalid
from tasks.storage.filters import Filter
from tasks.storage.globs import Glob, compile_glob


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("**/*.mp4", ["a.mp4", "x/a.mp4", "x/y/a.mp4", ".mp4", "x/.mp4"], ["a.MP4", "a.mp4/x", "a.mp4x", "amp4"]),
        ("*.mp4", ["a.mp4", "a b.mp4"], ["x/a.mp4", "/a.mp4"]),
        ("cam1/*", ["cam1/a", "cam1/"], ["cam1/x/a", "cam10/a", "x/cam1/a", "cam1"]),
        ("cam1/**", ["cam1/a", "cam1/x/y"], ["cam10/a", "x/cam1/a"]),
        ("cam?/a", ["cam1/a", "camé/a"], ["cam/a", "cam12/a", "cam//a"]),
        ("cam[0-3]/a", ["cam0/a", "cam3/a"], ["cam4/a", "cam/a", "cam-/a"]),
        ("cam[!0-3]/a", ["cam4/a", "camx/a"], ["cam0/a", "cam//a"]),
        ("**/drafts/**", ["drafts/a", "x/drafts/a", "x/drafts/y/a"], ["drafts", "mydrafts/a", "drafts2/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "xa/b"]),
        ("**/**/*.mp4", ["a.mp4", "x/y/a.mp4"], []),
        ("**", ["a", "a/b", "a\nb"], []),
        ("*", ["a", "a\nb", ""], ["a/b"]),
        ("a**z", ["az", "a/b/z", "abz"], ["a/b"]),
        ("x.mp4", ["x.mp4"], ["xxmp4", "x.mp4\n", "a/x.mp4"]),
        ("a+(b)|c$^{1}.mp4", ["a+(b)|c$^{1}.mp4"], ["aa(b)", "c"]),
        ("a\\b", ["a\\b"], ["ab"]),
        ("[[]x]", ["[x]"], ["x"]),
        ("[]]", ["]"], ["[", "]]"]),
        ("[!]]", ["a"], ["]"]),
        ("[a^b]", ["^", "a"], ["c"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[\\d]", ["\\", "d"], ["1"]),
        ("[a&&b~~c||d]", ["&", "~", "|", "a"], ["e"]),
        ("[.-0]", [".", "0"], ["/", "-"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("日本/*", ["日本/動画"], ["日本"]),
        ("caf\u00e9", ["caf\u00e9"], ["cafe\u0301"]),
    ],
)
def test_globs(glob: str, matching: list[str], others: list[str]) -> None:
    """Each construct matches whole keys, and nothing it should not."""
    pattern = compile_glob(glob)
    assert matching == [key for key in matching + others if pattern.matches(key)]


@pytest.mark.parametrize("glob", ["", "a[b", "[", "[!", "[]", "[z-a]", "x/[]a"])
def test_globs_that_cannot_be_read_are_refused_at_once(glob: str) -> None:
    """A mistake in a pattern shows before anything is listed."""
    with pytest.raises(InputInvalid):
        Filter(include=(glob,))
    with pytest.raises(InputInvalid):
        Filter(exclude=(glob,))


segment_globs = st.text(st.sampled_from("ab*?.-"), min_size=1, max_size=6).filter(lambda glob: "**" not in glob)


@given(glob=segment_globs, key=st.text(st.sampled_from("ab.-"), max_size=8))
def test_within_a_folder_globs_mean_what_fnmatch_means(glob: str, key: str) -> None:
    """For one name, ours and the standard library's patterns agree."""
    assert fnmatch.fnmatchcase(key, glob) == bool(compile_glob(glob).matches(key))


@given(glob=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), key=st.text(max_size=30))
@settings(max_examples=200)
def test_any_text_is_a_glob_or_refused(glob: str, key: str) -> None:
    """No pattern escapes as a broken regular expression; without special characters it matches itself alone."""
    try:
        pattern = compile_glob(glob)
    except InputInvalid:
        assert "[" in glob
        return
    pattern.matches(key)
    if not set("*?[") & set(glob):
        assert pattern.matches(glob)
        assert (key == glob) == bool(pattern.matches(key))


MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "[ab]": "(?!/)[ab]", "[!a]": "(?!/)[^a]"}
parts = st.lists(st.sampled_from([*MEANING, "a", "b", "A", "/", "-"]), min_size=1, max_size=9)


@given(parts=parts, key=st.text(st.sampled_from("abA/-"), max_size=10))
@settings(max_examples=2000)
def test_globs_agree_with_the_documented_meaning(parts: list[str], key: str) -> None:
    """Every way to read a glob by the table in the documentation, tried one after the other by a regular expression."""
    glob = "".join(parts)
    cut = re.findall(r"\*\*/|\*\*|\*|\?|\[!?[ab]+\]|.", glob)
    expected = re.compile("".join(MEANING.get(token, re.escape(token)) for token in cut), re.DOTALL)
    assert bool(expected.fullmatch(key)) == compile_glob(glob).matches(key)
    if "!" not in glob:
        loose = re.compile(expected.pattern, re.DOTALL | re.IGNORECASE)
        assert bool(loose.fullmatch(key)) == compile_glob(glob, ignore_case=True).matches(key)


@given(members=st.text(st.sampled_from("abc-^./0Z"), min_size=1, max_size=6), character=st.characters())
@settings(max_examples=1000)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # two dashes: a set difference in some later Python
def test_sets_mean_what_they_mean_in_regular_expressions(members: str, character: str) -> None:
    """Ranges, and dashes at their ends; a range that runs backwards is refused, and no set takes a slash."""
    escaped = re.sub(r"([^\w-])", r"\\\1", members)
    for glob, meaning in ((f"[{members}]", f"(?!/)[{escaped}]"), (f"[!{members}]", f"(?!/)[^{escaped}]")):
        try:
            expected = re.compile(meaning)
        except re.error:
            with pytest.raises(InputInvalid):
                Glob(glob)
            continue
        for one in {character, *members}:
            assert bool(expected.fullmatch(one)) == Glob(glob).matches(one)


class Counted(str):  # noqa: SLOT000 - counts
    """A key that counts how often it is gone through, character by character."""

    passes = 0

    def __iter__(self) -> Iterator[str]:
        self.passes += 1
        return super().__iter__()


@pytest.mark.parametrize(
    "glob",
    [
        *("**/*-*-*-*.mp4", "*a" * 400, "**a" * 300, "**/a" * 250, "[ab]*" * 200 + "x", "?*" * 500, "**/" * 340),
        *("*" * 1024, "**/*a**/*b" * 90, "a" * 1024, "[!a]**" * 170),
    ],
)
@pytest.mark.parametrize("key", ["-" * 900 + ".mp4", "a" * 1024, "a/" * 512, "ab" * 512, "/" * 1024, "é" * 512])
def test_no_glob_and_no_key_cost_more_than_a_step_for_each_character(glob: str, key: str) -> None:
    """Of the longest keys there are: one pass, at most one new step for each character, no way back."""
    fresh, counted = Glob(glob), Counted(key)
    fresh.matches(counted)
    assert 1 == counted.passes
    assert len(key) >= len(fresh._known)
    assert all(state < 1 << 2 * len(glob) + 1 for state in fresh._known.values())


def test_what_is_remembered_of_keys_is_bounded() -> None:
    """A bucket of a million odd names does not fill the memory."""
    glob = Glob("*".join("abcdefghijkl"))
    for number in range(3000):
        glob.matches(f"a{number:x}bc{number * 7:x}def{chr(1000 + number)}")
    assert len(glob._known) <= 4096


def test_a_glob_longer_than_any_key_is_refused() -> None:
    """Before anything is listed."""
    with pytest.raises(InputInvalid):
        compile_glob("a" * 1025)
