"""Which proxy a request goes through, by the usual variables."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from petra.oci.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a server, None for none.

    Reads ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, lower case first. This
    machine itself is never reached through a proxy.

    Args:
        scheme: ``http`` or ``https``.
        host: without brackets or port.
        port: the server's.
        environ: the process's environment.
    """
    if is_loopback(host) or _excluded(host, port, _variable("no_proxy", environ)):
        return None
    if scheme == "http" and "REQUEST_METHOD" in environ and "http_proxy" not in environ:
        # In a CGI process HTTP_PROXY is what the client sent as the header "Proxy" (httpoxy).
        return None
    proxy = _variable(f"{scheme}_proxy", environ) or _variable("all_proxy", environ)
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return proxy or None


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _excluded(host: str, port: int, rules: str) -> bool:
    return any(_matches(host, port, rule.strip().lower()) for rule in rules.split(","))


def _matches(host: str, port: int, rule: str) -> bool:
    """Say whether `rule`, ``*``, a name, a domain, an address or a network, covers the server."""
    if rule in ("", "*"):
        return bool(rule)
    if "/" in rule:
        return _in_network(host, rule)
    name, colon, rule_port = rule.rpartition(":")
    if colon and rule_port.isdigit() and (":" not in name or name.startswith("[")):
        if int(rule_port) != port:
            return False
        rule = name
    rule = rule.strip("[]").removeprefix("*").lstrip(".")
    return host == rule or host.endswith(f".{rule}")


def _in_network(host: str, rule: str) -> bool:
    try:
        return ip_address(host) in ip_network(rule, strict=False)
    except ValueError:
        return False
