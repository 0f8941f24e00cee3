"""No marked secret survives, however it is written; ordinary text does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.domain.redaction import HIDDEN, RedactingFilter, redact

# What must not survive: letters that no template and no noise below contains.
MARK = "QZQZQZ"
NOISE = st.text(st.characters(exclude_characters="QZ", exclude_categories=["Cs"]), max_size=12)
SECRET = st.builds(lambda a, b: f"{a}{MARK}{b}", NOISE, NOISE)
TOKEN = st.text("abcXYz019-._~%+=/", max_size=12).map(lambda t: t.replace("Z", "") + MARK)
NAMES = st.sampled_from(
    [
        "api_key", "apikey", "api-key", "API_KEY", "ROBOFLOW_API_KEY", "token", "access_token", "X-Amz-Security-Token",
        "sig", "signature", "Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Goog-Signature", "x-goog-credential",
        "password", "secret", "client_secret", "aws_secret_access_key", "AWSAccessKeyId", "AccountKey",
        "SharedAccessSignature",
    ]
)  # fmt: skip
AROUND = st.text("abc XY,;:(){}[]\n019-._~%+/éü☃", max_size=20)
QUOTERS: list[Callable[[object], str]] = [repr, json.dumps, lambda v: json.dumps(v, ensure_ascii=False), str]


@given(name=NAMES, secret=TOKEN, path=st.text("abc/._-~%20'", max_size=12), before=AROUND, after=AROUND)
def test_queries_of_urls_are_hidden(name: str, secret: str, path: str, before: str, after: str) -> None:
    """Absolute or relative, plain, percent-encoded, or with JSON's escapes."""
    query = f"x=1&{name}={secret}"
    for url in (f"https://host/{path}?{query}", f"/{path}?{query}&y=2"):
        escaped = url.replace("&", "\\u0026").replace("/", "\\/")
        once = quote(url, safe="")
        for written in (url, escaped, json.dumps(escaped), once, quote(once, safe="")):
            assert MARK not in redact(f"{before} {written} {after}")
    bare = f"http://host/{path}?{secret}".replace("'", "")
    assert MARK not in redact(f"{before} {bare} {after}")


@given(name=NAMES, secret=SECRET, depth=st.lists(st.sampled_from(QUOTERS), min_size=1, max_size=3), around=AROUND)
@example("api_key", f'a"{MARK}', [json.dumps, json.dumps, json.dumps], "")
@example("api_key", f"it's \"{MARK}", [repr, json.dumps, repr], "")
@example("sig", f"\\{MARK}\\", [json.dumps, repr], "")
def test_named_values_are_hidden_at_any_depth(
    name: str, secret: str, depth: list[Callable[[object], str]], around: str
) -> None:
    """In dicts, pairs, bytes and lists, written by ``repr`` and JSON, one within the other."""
    holders: list[object] = [{name: secret}, {name: [secret]}, [[name, secret]], {"a": {name: secret, "b": 1}}]
    for holder in holders:
        text: object = holder
        for quoter in (json.dumps, *depth):
            text = quoter(text)
        assert MARK not in redact(f"{text} {around}")
    assert MARK not in redact(repr({name: secret}))
    assert MARK not in redact(repr([(name.encode(), secret.encode())]))


@given(
    name=NAMES, secret=TOKEN, sign=st.sampled_from(["=", ": ", " = ", " => ", ":", "%3D", "=Bearer "]), around=AROUND
)
def test_assigned_words_are_hidden(name: str, secret: str, sign: str, around: str) -> None:
    """``name=value`` in plain text, in headers, on command lines."""
    assert MARK not in redact(f"x {name}{sign}{secret} {around}")
    assert MARK not in redact(f"x {name}{sign.removesuffix('Bearer ')}'{secret}' {around}")


@given(user=TOKEN, word=st.sampled_from(["Bearer", "bearer"]))
def test_users_of_urls_and_bearers_are_hidden(user: str, word: str) -> None:
    """Passwords in database URLs, tokens in front of hosts, bare bearer tokens."""
    user = user.replace("/", "")
    assert MARK not in redact(f"postgresql+psycopg://me:{user}@db:5432/ledger")
    assert MARK not in redact(f"https://{user}@github.com/x")
    assert MARK not in redact(f"sent {word} abcd{user}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://h/a/b.mp4?X-Amz-Date=1&X-Amz-Signature=2 said 403", "GET https://h/a/b.mp4?*** said 403"),
        ("url: /videoinfer/?api_key=abc&job_id=1 (Caused by x)", "url: /videoinfer/?*** (Caused by x)"),
        ('{"url": "https://h/p?sig=1", "fps": 5}', '{"url": "https://h/p?***", "fps": 5}'),
        ("[('api_key', 'abc'), ('job_id', 'J')]", "[('api_key', '***'), ('job_id', 'J')]"),
        ("{'api_key': ['abc'], 'n': 1}", "{'api_key': ['***'], 'n': 1}"),
        ("Authorization: Bearer abc.def next", "Authorization: *** next"),
        ("postgresql://me:pw@db/ledger", "postgresql://***@db/ledger"),
        ('"api_key": "never closed', '"api_key": "***'),
        ("DefaultEndpoints;AccountKey=abc==", "DefaultEndpoints;AccountKey=***"),
    ],
)
def test_what_is_left_can_still_be_read(text: str, shown: str) -> None:
    """Only the secret goes, and a second pass takes nothing more."""
    assert redact(text) == redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", "clip 7 of 30 failed: really? yes", "s3://bucket/what?.mp4 is 3 MB", "design=3, signs: 4", "tokens=12",
        "50% of 100 %", "file:///a/b c/ü.mp4", "https://api.roboflow.com/videoinfer/", "unexpected token <",
        "mail me@host", "12:30 @ noon", "credentials: prod-aws", "a?b", "C:\\new\\table",
    ],
)  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    """Messages without secrets come out as they went in."""
    assert redact(text) == text


PIECES = [
    "?",
    "=",
    "://",
    "@",
    "\\",
    '"',
    "'",
    "token",
    ":",
    " ",
    "sig",
    "%3D",
    "https",
    "x-amz-a",
    "&",
    "bearer ",
    HIDDEN,
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_text_breaks_it(text: str) -> None:
    """Text made of nothing but bait is redacted without complaint, and a secret after it still goes."""
    assert MARK not in redact(f"{text} api_key={MARK}")


@pytest.mark.parametrize("piece", [*PIECES, "https://", '"token":"', "token ", "?\\", "secret_a", "://@", "token:\\"])
@pytest.mark.timeout(20)
def test_no_text_takes_for_ever(piece: str) -> None:
    """A hundred thousand characters of any bait are done in linear time (else the timeout ends it)."""
    assert isinstance(redact(piece * (100_000 // len(piece)) + "?token"), str)


# --- log records ----------------------------------------------------------------------------------


class Memory(logging.Handler):
    """Keeps what a formatter made of each record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self.records: list[logging.LogRecord] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(self.format(record))


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.addFilter(RedactingFilter())
    return memory


@pytest.fixture
def log(memory: Memory) -> logging.Logger:
    logger = logging.Logger("test", logging.DEBUG)  # noqa: LOG001 (of its own, not in the tree)
    logger.addHandler(memory)
    return logger


URL = f"https://h/p?{urlencode({'X-Amz-Signature': MARK})}"


def test_arguments_are_redacted(log: logging.Logger, memory: Memory) -> None:
    """Secrets in arguments go, numbers are formatted as ever."""
    log.info("GET %s took %.1f s, %d tries, %r", URL, 1.25, 3, {"api_key": MARK})
    log.info("%(url)s", {"url": URL})
    log.info("no arguments: 100%")
    assert memory.lines == [
        "INFO GET https://h/p?*** took 1.2 s, 3 tries, {'api_key': '***'}",
        "INFO https://h/p?***",
        "INFO no arguments: 100%",
    ]
    assert MARK not in repr([vars(record) for record in memory.records])


def test_tracebacks_are_redacted(log: logging.Logger, memory: Memory) -> None:
    """Exceptions, their causes and the stack are shown without secrets."""
    try:
        try:
            raise OSError(f"Max retries exceeded with url: /videoinfer/?api_key={MARK}")
        except OSError as error:
            raise RuntimeError(URL) from error
    except RuntimeError:
        log.exception("failed", stack_info=True)
    assert MARK not in memory.lines[0]
    assert "RuntimeError: https://h/p?***" in memory.lines[0]
    assert "OSError: Max retries exceeded with url: /videoinfer/?***" in memory.lines[0]
    assert "Stack (most recent call last)" in memory.lines[0]
    assert memory.records[0].exc_info is None


def test_a_formatted_traceback_is_redacted_too(log: logging.Logger, memory: Memory) -> None:
    """An earlier handler may have kept the traceback's text on the record."""
    record = logging.makeLogRecord(
        {"msg": "x", "levelno": logging.INFO, "levelname": "INFO", "exc_text": f"ValueError: {URL}"}
    )
    log.handle(record)
    assert memory.lines == ["INFO x\nValueError: https://h/p?***"]


def test_extra_fields_are_redacted(log: logging.Logger, memory: Memory) -> None:
    """Text that JSON formatters would show goes through as well; other values stay."""
    log.info("x", extra={"url": URL, "count": 3})
    assert (vars(memory.records[0])["url"], vars(memory.records[0])["count"]) == ("https://h/p?***", 3)


@pytest.mark.parametrize("args", [(URL, URL), (), ({"a": URL},)])
def test_a_broken_log_call_neither_leaks_nor_raises(
    log: logging.Logger, memory: Memory, args: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Arguments that do not fit the message would be printed by logging itself."""
    log.info("%d of %s and %(b)s", *args)
    assert MARK not in memory.lines[0] + capsys.readouterr().err


def test_records_without_exceptions_pass(log: logging.Logger, memory: Memory) -> None:
    """``exc_info=True`` outside of any exception is nothing special."""
    log.info("x", exc_info=True)  # noqa: LOG014 (the point of it)
    assert memory.lines[0].startswith("INFO x")
