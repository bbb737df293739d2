"""Apache with `mod_proxy_http`: compresses, and forwards every offer to upgrade."""

import os
from collections.abc import Callable

from support.programs import executable

from proxies.kinds import Kind, Place

_MODULES = "mpm_event authz_core proxy proxy_http filter deflate"
_FILE = """
ServerRoot {home}
ServerName 127.0.0.1
DefaultRuntimeDir {home}
PidFile {home}/apache.pid
Listen 127.0.0.1:{port}
ErrorLog /dev/stderr
LogLevel error
{modules}
{user}
ServerLimit 1
StartServers 1
ThreadsPerChild 32
MaxRequestWorkers 32
MaxKeepAliveRequests 0
Timeout 20
{filter}
ProxyPass {prefix}/ http://127.0.0.1:{prefixed}/
ProxyPass / http://127.0.0.1:{service}/ {options}
"""
_USER = "User nobody\nGroup nogroup"
_DEFLATE = "AddOutputFilterByType DEFLATE application/json"


def _configured(options: str, extra: str) -> Callable[[Place], list[str]]:
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in _MODULES.split()
    )
    user = _USER if os.geteuid() == 0 else ""  # it does not run as root

    def configure(place: Place) -> list[str]:
        file = place.home / "apache.conf"
        file.write_text(
            _FILE.format(options=options, filter=extra, modules=modules, user=user, **place.values)
        )
        return [executable("apache2"), "-f", str(file), "-DFOREGROUND"]

    return configure


APACHE = (
    Kind("Apache, deflate", _configured("", _DEFLATE), alters_tags=True),
    Kind("Apache, upgrade=any", _configured("upgrade=any", "")),
)
