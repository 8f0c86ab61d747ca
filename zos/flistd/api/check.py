"""Which URLs can name a flist. Pure; flistd checks by it, and so does whoever wants to refuse one early."""

from __future__ import annotations

from urllib.parse import urlsplit

MOST = 2048
"""Letters of a URL."""


def url_problem(url: str) -> str:
    """What is wrong with a flist's URL, which may be a path on the node's hub; empty when nothing is."""
    if not url:
        return "must be given"
    if len(url) > MOST or any(ord(letter) <= 32 or ord(letter) > 126 for letter in url):
        return f"must be at most {MOST} printable ASCII letters without spaces"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as err:
        return f"is no URL: {err}"
    if "://" in url and (parts.scheme not in ("http", "https") or not parts.hostname):
        return "must be http:// or https:// with a host, or a path on the node's hub"
    return ""
