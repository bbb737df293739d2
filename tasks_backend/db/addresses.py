"""Name resolution: the addresses of the hosts in a database URL."""

import asyncio
import ipaddress
import random
import socket

from psycopg2.extensions import parse_dsn

_HOST_PARAMETERS = ("host", "hostaddr", "port")  # libpq accepts comma-separated lists of these

_running_lookups: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Task[list[str]]] = {}


async def resolve_addresses(dsn: str, *, timeout: float) -> list[dict[str, str]]:
    """Return for each address the parameters that override those of the URL.

    Names are resolved in a thread, because libpq would block the event loop. `host` keeps the name
    for TLS and for Neon's routing (SNI). Names that are not resolved after `timeout` seconds are
    left out. Raises OSError or UnicodeError if no address is left.
    """
    parameters = parse_dsn(dsn)
    hosts = _split_hosts(parameters)
    lookups = {host["host"]: _shared_lookup(host["host"]) for host in hosts if _is_name(host)}
    if lookups:
        await asyncio.wait(lookups.values(), timeout=timeout)
    addresses: list[dict[str, str]] = []
    error: BaseException | None = None
    for host in hosts:
        lookup = lookups.get(host["host"]) if _is_name(host) else None
        if lookup is None:
            addresses.append(host)
        elif not lookup.done():
            error = TimeoutError()
        elif lookup.exception() is not None:
            error = lookup.exception()
        else:
            addresses += [{**host, "hostaddr": address} for address in lookup.result()]
    if error is not None and not addresses:
        raise error
    if parameters.get("load_balance_hosts") == "random":  # libpq gets one address at a time
        random.shuffle(addresses)
    return addresses


def _split_hosts(parameters: dict[str, str]) -> list[dict[str, str]]:
    """Return the URL's hosts one by one, or one empty override if its lists do not match."""
    lists = {name: parameters[name].split(",") for name in _HOST_PARAMETERS if parameters.get(name)}
    count = len(lists.get("hostaddr") or lists.get("host") or [])
    if len(lists.get("port", [])) == 1:
        lists["port"] *= count
    if not count or {len(values) for values in lists.values()} != {count}:
        return [{}]  # libpq applies its defaults and reports a mismatch
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _is_name(host: dict[str, str]) -> bool:
    """Whether a host must be resolved: it is neither an address nor a socket directory."""
    name = host.get("host", "")
    if host.get("hostaddr") or not name or name.startswith(("/", "@")):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return True
    return False


def _shared_lookup(host: str) -> asyncio.Task[list[str]]:
    """Return the running look-up of a name, or a new one.

    It occupies a thread until the resolver gives up, even after the caller's timeout. All callers
    share it, so that a resolver that hangs occupies only one thread.
    """
    loop = asyncio.get_running_loop()
    key = (loop, host)

    def forget(lookup: asyncio.Task[list[str]]) -> None:
        del _running_lookups[key]
        if not lookup.cancelled():
            lookup.exception()  # marks it as retrieved, in case all callers stopped waiting

    if key not in _running_lookups:
        _running_lookups[key] = loop.create_task(_resolve(host))
        _running_lookups[key].add_done_callback(forget)
    return _running_lookups[key]


async def _resolve(host: str) -> list[str]:
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in addresses]
