"""Where a URL leads: the hosts that it names, and the addresses that their names have."""

import asyncio
import ipaddress
import random
import socket

from psycopg2.extensions import parse_dsn

_PLACE = ("host", "hostaddr", "port")  # libpq takes lists of these

_running: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Task[list[str]]] = {}


async def addresses_of(dsn: str, *, timeout: float) -> list[dict[str, str]]:
    """Return what selects each address in turn: parameters that override those of the URL.

    Names are looked up outside of the event loop, which libpq would block. The name stays in
    `host`, for TLS and for Neon's routing by name (SNI). A name that has no address after
    `timeout` seconds is left out. Raises OSError or UnicodeError if no address is left.
    """
    given = parse_dsn(dsn)
    places = _places(given)
    lookups = {place["host"]: _lookup(place["host"]) for place in places if _is_name(place)}
    if lookups:
        await asyncio.wait(lookups.values(), timeout=timeout)
    found: list[dict[str, str]] = []
    error: BaseException | None = None
    for place in places:
        lookup = lookups.get(place["host"]) if _is_name(place) else None
        if lookup is None:
            found.append(place)
        elif not lookup.done():
            error = TimeoutError()
        elif lookup.exception() is not None:
            error = lookup.exception()
        else:
            found += [{**place, "hostaddr": address} for address in lookup.result()]
    if error is not None and not found:
        raise error
    if given.get("load_balance_hosts") == "random":  # libpq sees one address at a time
        random.shuffle(found)
    return found


def _places(given: dict[str, str]) -> list[dict[str, str]]:
    """Return the URL's hosts one by one, or nothing to override if its lists do not match."""
    lists = {name: given[name].split(",") for name in _PLACE if given.get(name)}
    count = len(lists.get("hostaddr") or lists.get("host") or [])
    if len(lists.get("port", [])) == 1:
        lists["port"] *= count
    if not count or {len(values) for values in lists.values()} != {count}:
        return [{}]  # libpq has defaults, and says what does not match
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _is_name(place: dict[str, str]) -> bool:
    """Whether a host has to be looked up: it is no address and no directory of a socket."""
    host = place.get("host", "")
    if place.get("hostaddr") or not host or host.startswith(("/", "@")):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _lookup(host: str) -> asyncio.Task[list[str]]:
    """Return the look-up of a name that runs, or a new one.

    It occupies a thread until the resolver gives up, however short the caller's wait is. All
    callers share it, so that a resolver that hangs occupies one thread and not all of them.
    """
    loop = asyncio.get_running_loop()
    key = (loop, host)

    def forget(lookup: asyncio.Task[list[str]]) -> None:
        del _running[key]
        if not lookup.cancelled():
            lookup.exception()  # it is nobody's if all callers stopped waiting

    if key not in _running:
        _running[key] = loop.create_task(_looked_up(host))
        _running[key].add_done_callback(forget)
    return _running[key]


async def _looked_up(host: str) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
