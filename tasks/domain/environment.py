"""Which of our environment a child process is given: what it needs, and nothing that it could give away."""

from __future__ import annotations

from collections.abc import Collection, Mapping

# What any program needs to be found, to speak the user's language and to check certificates.
_ALWAYS = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TERM",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TEMP",
        "TMP",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
    }
)
_ALWAYS_LIKE = ("LC_", "PYTHON", "XDG_")
# How the Internet is reached from here; their values may hold a password, so only who needs them gets them.
PROXIES = frozenset(
    name for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for name in (proxy, proxy.lower())
)


def child_environment(
    environ: Mapping[str, str], needed: Collection[str] = (), *, like: tuple[str, ...] = ()
) -> dict[str, str]:
    """What a child gets of ``environ``: no key, no cloud's login, no database's address, unless it is needed.

    Args:
        needed: Names that this child needs besides what every program does.
        like: Beginnings of such names.
    """
    beginnings = _ALWAYS_LIKE + like
    return {
        name: value
        for name, value in environ.items()
        if name in _ALWAYS or name in needed or name.startswith(beginnings)
    }
