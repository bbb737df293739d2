"""HAProxy; all clients share one connection to the service."""

from support.programs import executable

from proxies.kinds import Kind, Place

_FILE = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout queue 5s
    http-reuse always
frontend everybody
    bind 127.0.0.1:{port}
    use_backend prefixed if {{ path_beg {prefix}/ }}
    default_backend service
backend service
    server only 127.0.0.1:{service} maxconn 1
backend prefixed
    http-request replace-path {prefix}(/.*) \\1
    server only 127.0.0.1:{prefixed}
"""


def _configure(place: Place) -> list[str]:
    file = place.home / "haproxy.cfg"
    file.write_text(_FILE.format(**place.values))
    return [executable("haproxy"), "-db", "-f", str(file)]


HAPROXY = Kind("HAProxy", _configure)
