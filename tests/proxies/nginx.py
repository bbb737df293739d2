"""nginx in four configurations: default, for WebSockets, without buffers, and compressing."""

import os
from collections.abc import Callable

from support.programs import executable

from proxies.kinds import Kind, Place

_FILE = """
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/answers;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream service {{
        server 127.0.0.1:{service};
        keepalive 1;
    }}
    server {{
        listen 127.0.0.1:{port};
        {options}
        location / {{ proxy_pass http://service; }}
        location {prefix}/ {{ proxy_pass http://127.0.0.1:{prefixed}/; }}
    }}
}}
"""
_KEPT = 'proxy_http_version 1.1; proxy_set_header Connection "";'
_WEBSOCKET = """
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
"""
_UNBUFFERED = "proxy_request_buffering off; proxy_buffering off;"
_GZIP = "gzip on; gzip_types application/json; gzip_min_length 0; gzip_proxied any;"


def _configured(options: str) -> Callable[[Place], list[str]]:
    user = "user root;" if os.geteuid() == 0 else ""

    def configure(place: Place) -> list[str]:
        file = place.home / "nginx.conf"
        file.write_text(_FILE.format(options=options, user=user, **place.values))
        return [executable("nginx"), "-p", str(place.home), "-e", "stderr", "-c", str(file)]

    return configure


NGINX = (
    Kind("nginx", _configured(""), reuses=False),
    Kind("nginx, WebSocket map", _configured(_WEBSOCKET)),
    Kind("nginx, unbuffered", _configured(_WEBSOCKET + _UNBUFFERED)),
    Kind("nginx, gzip", _configured(_KEPT + _GZIP), alters_tags=True),
)
