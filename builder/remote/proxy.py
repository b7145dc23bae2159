"""Which proxy the environment names for a server: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in either case.

aiohttp reads them too, but with them the passwords of ~/.netrc, neither ALL_PROXY nor a network in NO_PROXY.
Law of the file: a machine reaches itself without a proxy, and no message repeats a proxy's password.
"""

import ipaddress
from urllib.parse import urlsplit

from builder.errors import ConfigError


def proxy_for(url: str) -> str | None:
    """The proxy's address, with the user and password that it may hold; None for a direct connection.

    Args:
        url: the server's address.

    Raises:
        ConfigError: the environment names what is not an HTTP proxy.
    """
    from urllib.request import getproxies_environment

    parts, proxies = urlsplit(url), getproxies_environment()
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    kind = parts.scheme if proxies.get(parts.scheme) else "all"
    proxy = proxies.get(kind, "")
    if not proxy or is_loopback(host) or _is_exempt(host, port, proxies.get("no", "")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        scheme, named = urlsplit(proxy).scheme, urlsplit(proxy).hostname
    except ValueError:
        scheme, named = "", None
    if scheme not in {"http", "https"} or not named:
        raise ConfigError(
            f"{kind}_proxy in the environment names no HTTP proxy for {host}: set it to an address like "
            f"'http://proxy:3128', or name {host} in no_proxy"
        )
    return proxy


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def _is_exempt(host: str, port: int, exempt: str) -> bool:
    return any(_covers(entry.strip().lower(), host, port) for entry in exempt.split(",") if entry.strip())


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means the host: a name and what ends in it, an address, a network, any with a port, or `*`."""
    if entry == "*":
        return True
    if address := _address(host):
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            pass  # no network: a name, or an address with a port
    name, separator, named = entry.rpartition(":")
    if separator and named.isdecimal():
        if named != str(port):
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").lstrip(".")
    return bool(entry) and (host == entry or (not _address(host) and host.endswith(f".{entry}")))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
