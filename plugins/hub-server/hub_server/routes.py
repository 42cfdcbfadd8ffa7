"""The table of routes."""

from __future__ import annotations

from collections.abc import Iterator

from hub_server import (
    api_account,
    api_commit,
    api_files,
    api_information,
    api_large,
    api_large_files,
    api_listing,
    api_references,
    api_repositories,
    api_requests,
)
from hub_server.calls import Handler, Route

COMMIT_LIMIT = 2 * 1024**3
"""Bytes of one commit's regular files, encoded."""

MEBIBYTE = 1024 * 1024
MEBIBYTES_8 = 8 * MEBIBYTE
BIG: dict[tuple[str, str, Handler], int] = {
    ("POST", "paths-info/{revision}", api_files.paths): MEBIBYTES_8,
    ("POST", "preupload/{revision}", api_commit.preupload): MEBIBYTES_8,
    ("POST", "commit/{revision}", api_commit.commit): COMMIT_LIMIT,
}
"""Calls whose bodies may have more bytes than a mebibyte."""


def _api(kind: str) -> Iterator[Route]:
    """Yield the routes below one kind's API."""
    at = f"api/{kind}/{{owner}}/{{name}}"
    plain: list[tuple[str, str, Handler]] = [
        ("GET", "auth-check", api_account.may_read),
        ("GET", "auth-check/write", api_account.may_write),
        ("PUT", "settings", api_repositories.settings),
        ("GET", "revision/{revision}", api_information.information),
        ("GET", "tree/{revision}/{path*}", api_files.tree),
        ("GET", "refs", api_references.refs),
        ("POST", "branch/{branch}", api_references.make_branch),
        ("DELETE", "branch/{branch}", api_references.delete_branch),
        ("POST", "tag/{revision}", api_references.make_tag),
        ("DELETE", "tag/{revision}", api_references.delete_tag),
        ("POST", "super-squash/{branch}", api_references.squash),
        ("GET", "commits/{revision}", api_references.commits),
        ("GET", "lfs-files", api_large_files.listing),
        ("POST", "lfs-files/batch", api_large_files.delete),
        ("GET", "discussions", api_requests.listing),
        ("POST", "discussions", api_requests.make),
        ("GET", "discussions/{number}", api_requests.details),
    ]
    yield Route("GET", f"api/{kind}", api_listing.listing)
    yield Route("GET", at, api_information.information)
    for method, rest, handler in (*plain, *BIG):
        yield Route(method, f"{at}/{rest}", handler, BIG.get((method, rest, handler), MEBIBYTE))
    # only now: a repository may have the name of a call, such as team/tree
    for method, rest, _ in (*plain, *BIG):
        yield Route(method, f"api/{kind}/{{name}}/{rest}", api_files.ownerless)


def _site(kind: str) -> Iterator[Route]:
    """Yield the routes below one kind's place on the site."""
    at = "{owner}/{name}" if kind == "models" else f"{kind}/{{owner}}/{{name}}"
    yield Route("GET", f"{at}/resolve/{{revision}}/{{path*}}", api_files.serve)
    yield Route("POST", f"{at}/info/lfs/objects/batch", api_large.batch)
    yield Route("POST", f"{at}/info/lfs/verify", api_large.verify)


KINDS = ("models", "datasets", "spaces", "kernels")
ROUTES: list[tuple[str, Route]] = [
    ("", Route("GET", "api/whoami-v2", api_account.whoami)),
    ("", Route("POST", "api/validate-yaml", api_account.validate_card, MEBIBYTES_8)),
    ("", Route("POST", "api/repos/create", api_repositories.create)),
    ("", Route("DELETE", "api/repos/delete", api_repositories.delete)),
    ("", Route("POST", "api/repos/move", api_repositories.move)),
    ("", Route("GET", "api/settings/repositories", api_listing.stored)),
    ("", Route("GET", "api/organizations/{team}/settings/repositories", api_listing.stored)),
    *((kind, route) for kind in KINDS for route in _api(kind)),
    *((kind, route) for kind in reversed(KINDS) for route in _site(kind)),
    *((kind, Route("GET", f"api/{kind}/{{name}}", api_files.ownerless)) for kind in KINDS),
    ("models", Route("GET", "{name}/resolve/{revision}/{path*}", api_files.ownerless)),
]
"""Each route with the kind of repository that it is for."""
