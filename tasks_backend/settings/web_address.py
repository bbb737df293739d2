"""URLs of web servers: what is accepted, and the origin that browsers and Better Auth write."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NEON = (".neon.tech", ".neon.build")


def split_url(url: str) -> SplitResult:
    """Return the parts of an http or https URL. Raises ValueError with the reason."""
    if re.search(r"\s", url):
        raise ValueError("has white space inside: remove it")
    if not re.match("https?://", url, re.IGNORECASE):
        raise ValueError("is no http or https URL: it must begin with https:// or http://")
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname)
    except ValueError:
        has_host = False
    if not has_host:
        raise ValueError("is no http or https URL: it has no host")
    try:
        is_port = parts.port != 0
    except ValueError:
        is_port = False
    if not is_port:
        raise ValueError("has a port that is no number from 1 to 65535")
    return parts


def origin(url: str) -> str:
    """Return the scheme, the host and any port but the default, as JavaScript's `URL` does.

    Raises ValueError with the reason.
    """
    parts = split_url(url)
    default = {None, _DEFAULT_PORTS[parts.scheme]}
    port = "" if parts.port in default else f":{parts.port}"
    return f"{parts.scheme}://{_ascii(parts.hostname or '')}{port}"


def browser_origin(text: str) -> str:
    """Return an origin as browsers send it. Raises ValueError with the reason."""
    if "*" in text:
        raise ValueError("takes no *: list each origin, such as https://app.example.com")
    if text.lower() == "null":
        raise ValueError("takes no null, which any sandboxed page sends")
    if text[0] in "[{":
        raise ValueError(
            "takes a list without brackets: https://a.example.com,https://b.example.com"
        )
    parts = split_url(text)
    if "@" in parts.netloc:
        raise ValueError("takes origins without a user or a password")
    if parts.path not in {"", "/"} or any(mark in text for mark in "?#"):
        raise ValueError("takes origins such as https://app.example.com, no path and no query")
    return origin(text)


def key_set_url(base: str) -> str:
    """Return the URL of Better Auth's keys; a path in its base URL replaces `/api/auth`.

    Neon's managed Better Auth publishes them elsewhere than Better Auth itself.
    """
    base = base.rstrip("/")
    parts = urlsplit(base)
    if parts.path.endswith("/auth") and (parts.hostname or "").endswith(_NEON):
        return f"{base}/.well-known/jwks.json"
    return f"{base}/jwks" if parts.path else f"{base}/api/auth/jwks"


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost" or str(host).endswith(".localhost")


def _ascii(host: str) -> str:
    """Return a host in lower case and punycode, and an IPv6 address in brackets."""
    if ":" in host:
        return f"[{ipaddress.ip_address(host)}]"
    if not host.isascii():
        import httpx2  # noqa: PLC0415 - takes 0.1 s, and hardly any host needs it

        try:
            host = httpx2.URL(f"https://{host}").raw_host.decode()
        except httpx2.InvalidURL:
            raise ValueError("has a host that cannot be a name: write it in punycode") from None
    if not re.fullmatch(r"[\w.-]+", host):
        raise ValueError("has a host that cannot be a name")
    return host
