"""Keys that every store is tried with, legal and not."""

from __future__ import annotations

from hypothesis import strategies as st

# Every one of these is a legal key in S3, GCS and Azure.
SPECIAL_KEYS = (
    "plain.mp4",
    "deep/er/and/deep/er.mp4",
    "with space.mp4",
    " leading and trailing space ",
    "plus+plus.mp4",
    "percent%20encoded%2F.mp4",
    "50%.mp4",
    "hash#tag.mp4",
    "question?mark=1&b=2.mp4",
    "amp&er;sand.mp4",
    "quote'single.mp4",
    'quote"double.mp4',
    "back\\slash.mp4",
    "paren(1)!*~;,@$=.mp4",
    "colon:pipe|angle<>.mp4",
    "brace{x}[y]^`.mp4",
    "-leading-dash.mp4",
    ".hidden/.mp4",
    "dots.../...x.mp4",
    "tab\tand\nnewline.mp4",
    "caf\u00e9-nfc.mp4",
    "cafe\u0301-nfd.mp4",
    "日本/動画.mp4",
    "emoji-🎥👩‍👩‍👧.mp4",
    "עברית.mp4",
    "double//slash.mp4",
    "/leading-slash.mp4",
    "trailing-slash/",
    "/".join(["x" * 99] * 10) + "x",
)
UNSAFE_KEYS = ("", "../../etc/passwd", "a/../../b", "..", "a/..", "./a", "a/./b", "nul\0.mp4")
REWRITERS = 40

key_segments = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20
).filter(lambda text: text not in (".", ".."))
keys = st.lists(key_segments, min_size=1, max_size=4).map("/".join)
