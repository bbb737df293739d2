"""All kinds of proxies of the session, and the service without a proxy."""

from proxies.apache import APACHE
from proxies.caddy import CADDY
from proxies.haproxy import HAPROXY
from proxies.kinds import Kind
from proxies.nginx import NGINX

DIRECT = Kind("no proxy", None, reuses=False)
EVERY = (DIRECT, *NGINX, CADDY, HAPROXY, *APACHE)
