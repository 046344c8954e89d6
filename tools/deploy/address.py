"""Finds the address of the shop for a browser."""

import socket
from urllib.parse import urlsplit

from tools.deploy.cluster import Object, found, listed

GATEWAYS = (("kourier", "kourier-system"), ("istio-ingressgateway", "istio-system"), ("envoy", "contour-external"))


def of_shop(namespace: str) -> str:
    """Return the URL, with the Host header that it needs when no DNS resolves its name."""
    edge = found("services.serving.knative.dev", "edge", namespace)
    url = str((edge or {}).get("status", {}).get("url", ""))
    host = urlsplit(url).hostname or ""
    if not host:
        return "the edge has no address yet"
    if _resolves(host):
        return url
    for name, where in GATEWAYS:
        gateway = found("service", name, where)
        if gateway and (reached := _reached(gateway)):
            return f"{reached}   with the header Host: {host}\n  curl -H 'Host: {host}' {reached}/"
    return f"{url}   (the DNS of this machine has no {host})"


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, 80)
    except OSError:
        return False
    return True


def _reached(gateway: Object) -> str:
    for one in (gateway.get("status") or {}).get("loadBalancer", {}).get("ingress", ()):
        return f"http://{one.get('ip') or one.get('hostname')}"
    for port in gateway["spec"]["ports"]:
        if port["port"] == 80 and port.get("nodePort"):
            for node in listed("nodes", "default"):
                for address in node["status"]["addresses"]:
                    if address["type"] == "InternalIP":
                        return f"http://{address['address']}:{port['nodePort']}"
    return ""
