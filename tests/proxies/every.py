"""All kinds of proxies that the session stands up, and none."""

from proxies.apache import APACHE
from proxies.caddy import CADDY
from proxies.haproxy import HAPROXY
from proxies.kinds import Kind
from proxies.nginx import NGINX

DIRECT = Kind("no proxy", None, reuses=False)
EVERY = (DIRECT, *NGINX, CADDY, HAPROXY, *APACHE)
