"""Caddy with `reverse_proxy`; all clients share one connection to the service."""

from support.programs import executable

from proxies.kinds import Kind, Place

_FILE = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    handle_path {prefix}/* {{
        reverse_proxy 127.0.0.1:{prefixed}
    }}
    handle {{
        reverse_proxy 127.0.0.1:{service} {{
            transport http {{
                max_conns_per_host 1
            }}
        }}
    }}
}}
"""


def _configure(place: Place) -> list[str]:
    file = place.home / "Caddyfile"
    file.write_text(_FILE.format(**place.values))
    return [executable("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]


CADDY = Kind("Caddy", _configure)
