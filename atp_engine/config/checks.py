"""What a single value cannot tell: references between tables, credentials in the open, odd combinations.

`config/load.py` runs these on the plain tree, before or beside the validator, so that one reading of a
file names everything that is wrong with it. Values of a wrong type are skipped: they are told already.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from atp_engine.config.positions import KeyPath
from atp_engine.config.problems import CREDENTIAL_HINT, Complaints, near, shown
from atp_engine.config.sanity import check_sanity
from atp_engine.config.window_checks import check_windows
from atp_engine.core.redact import holds_credential

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4096}")
_OURS = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "te", "upgrade", "trailer")
_SECRET_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie")
_WITHOUT_ADDRESS = ("custom", "azure_openai")
_SIMULATED_ONLY = ("profiles", "seed")

Tree = Mapping[str, Any]


def check(tree: Tree, complaints: Complaints, kinds: Collection[str] | None) -> None:
    """Adds every problem of the whole file; `kinds` are the known provider kinds, None skips that check."""
    texts: list[tuple[KeyPath, str]] = []
    _texts(tree, (), texts)
    _check_credentials(texts, complaints)
    providers = _tables(tree, "providers")
    deployments = _tables(tree, "deployments")
    routes = _tables(tree, "routes")
    for name, provider in providers.items():
        _check_provider(name, provider, complaints, kinds)
    for name, deployment in deployments.items():
        wanted = deployment.get("provider")
        if isinstance(wanted, str) and wanted not in providers:
            hint = near(wanted, list(providers)) or f"define [providers.{shown(wanted)}]"
            complaints.add(("deployments", name, "provider"), f'there is no provider "{shown(wanted)}"', hint)
    for name, route in routes.items():
        _check_route(name, route, deployments, routes, complaints)
    check_windows(tree, complaints)
    check_sanity(tree, texts, complaints)
    _check_server(tree.get("server"), complaints)


def _tables(tree: Tree, section: str) -> dict[str, Tree]:
    tables = tree.get(section)
    if not isinstance(tables, Mapping):
        return {}
    return {name: table for name, table in tables.items() if isinstance(table, Mapping)}


def _texts(value: Any, path: KeyPath, found: list[tuple[KeyPath, str]]) -> None:
    """Adds every text in the tree with its place; a list and not a generator, for large configs' sake."""
    if isinstance(value, str):
        found.append((path, value))
    elif isinstance(value, Mapping):
        for key, child in value.items():
            if isinstance(child, (str, dict, list, tuple)):
                _texts(child, (*path, key), found)
    elif isinstance(value, (list, tuple)):
        for place, child in enumerate(value):
            if isinstance(child, (str, dict, list, tuple)):
                _texts(child, (*path, place), found)


def _check_credentials(texts: Sequence[tuple[KeyPath, str]], complaints: Complaints) -> None:
    found = [(path, text) for path, text in texts if path[-1] not in ("base_url", "proxy")]
    if not holds_credential("\n".join([text for _, text in found])):  # one look for all: nearly always enough
        return
    for path, text in found:
        if holds_credential(text):
            complaints.add(path, "holds a credential itself", CREDENTIAL_HINT)


def _check_provider(name: str, provider: Tree, complaints: Complaints, kinds: Collection[str] | None) -> None:
    path: KeyPath = ("providers", name)
    if "/" in name:
        complaints.add(path, "a provider's name may not hold /", "clients ask for provider/model", at_key=True)
    kind = provider.get("kind")
    if isinstance(kind, str) and kinds is not None and kind not in kinds:
        hint = near(kind, sorted(kinds)) or f"known kinds: {', '.join(sorted(kinds))}"
        complaints.add((*path, "kind"), f'there is no provider kind "{shown(kind)}"', hint)
    if kind in _WITHOUT_ADDRESS and "base_url" not in provider:
        complaints.add(path, f"a provider of kind {kind} needs a base_url", at_key=True)
    if isinstance(kind, str) and kind != "simulated":
        for key in _SIMULATED_ONLY:
            if key in provider:
                complaints.add((*path, key), "only simulated providers use this", at_key=True, is_warning=True)
    _check_url((*path, "base_url"), provider.get("base_url"), complaints, has_key="api_key" in provider)
    _check_url((*path, "proxy"), provider.get("proxy"), complaints, has_key=False)
    _check_headers((*path, "headers"), provider.get("headers"), complaints)


def _check_url(path: KeyPath, url: Any, complaints: Complaints, *, has_key: bool) -> None:
    if not isinstance(url, str):
        return
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        complaints.add(path, "is not a URL with a valid host and port")
        return
    if parts.username is not None or parts.password is not None or holds_credential(url):
        complaints.add(path, "holds a credential itself", CREDENTIAL_HINT)
    elif not host:
        complaints.add(path, "has no host")
    elif path[-1] == "base_url" and (parts.query or parts.fragment):
        complaints.add(path, "may not have a ? or # part", "paths are added to its end")
    elif has_key and parts.scheme == "http" and not _is_private(host):
        complaints.add(path, "sends the credential unencrypted to another machine", "use https://", is_warning=True)


def _check_headers(path: KeyPath, headers: Any, complaints: Complaints) -> None:
    if not isinstance(headers, Mapping):
        return
    for name, value in headers.items():
        lowered = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            complaints.add((*path, name), "is not a header name", at_key=True)
        elif lowered in _SECRET_HEADERS:
            complaints.add((*path, name), "carries a credential", "use api_key with a reference", at_key=True)
        elif lowered in _OURS:
            complaints.add((*path, name), "is set by the router itself", at_key=True)
        elif isinstance(value, str) and not _HEADER_VALUE.fullmatch(value):
            complaints.add((*path, name), "a header's value is printable ASCII on one line")


def _check_route(
    name: str, route: Tree, deployments: Mapping[str, Tree], routes: Mapping[str, Tree], complaints: Complaints
) -> None:
    path: KeyPath = ("routes", name, "deployments")
    targets = route.get("deployments")
    if not isinstance(targets, (list, tuple)):
        return
    seen: set[str] = set()
    for place, target in enumerate(targets):
        is_table = isinstance(target, Mapping)
        wanted = target.get("deployment") if is_table else target
        at: KeyPath = (*path, place, "deployment") if is_table else (*path, place)
        if not isinstance(wanted, str):
            continue
        if wanted not in deployments and wanted in routes:
            itself = "itself" if wanted == name else f'"{shown(wanted)}", which is a route'
            complaints.add(at, f"names {itself}", "a route lists deployments, so that none can go in a circle")
        elif wanted not in deployments:
            hint = near(wanted, list(deployments)) or f"define [deployments.{shown(wanted)}]"
            complaints.add(at, f'there is no deployment "{shown(wanted)}"', hint)
        elif wanted in seen:
            complaints.add(at, f'names deployment "{shown(wanted)}" twice')
        if is_table and "weight" in target and route.get("strategy", "ordered") == "ordered":
            complaints.add(
                (*path, place, "weight"), "has no effect", 'set strategy = "weighted"', at_key=True, is_warning=True
            )
        seen.add(wanted)
    if name in deployments and name not in seen:
        complaints.add(
            ("routes", name),
            "hides the deployment of the same name, which it does not use",
            "a client that asks for this name gets the route",
            at_key=True,
            is_warning=True,
        )


def _check_server(server: Any, complaints: Complaints) -> None:
    host = server.get("host") if isinstance(server, Mapping) else None
    if isinstance(host, str) and host and not _is_loopback(host):
        complaints.add(
            ("server", "host"), "other machines can reach the router", "every call needs a key", is_warning=True
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host.lower() == "localhost" or "." not in host or host.lower().endswith((".lan", ".local", ".internal"))
