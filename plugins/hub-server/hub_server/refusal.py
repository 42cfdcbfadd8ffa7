"""What the server refuses, with the status and the error code that clients of the Hub know."""

from __future__ import annotations


class RefusedError(Exception):
    """An answer that is an error.

    Args:
        status: The HTTP status.
        message: A sentence for the person.
        code: The Hub's name of the error, which decides the client's exception.
    """

    def __init__(self, status: int, message: str, code: str = "", **extra: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.extra = status, message, code, extra


def no_repository(*, anonymous: bool = False) -> RefusedError:
    """Return the refusal for a repository that is absent, or hidden from the caller."""
    return RefusedError(401 if anonymous else 404, "Repository not found", "RepoNotFound")


def no_revision(revision: str) -> RefusedError:
    """Return the refusal for a branch, tag or commit that is absent."""
    return RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def no_entry(path: str, commit: str) -> RefusedError:
    """Return the refusal for a file that is absent at a commit."""
    message = f"There is no file {path} at {commit}."
    return RefusedError(404, message, "EntryNotFound", **{"X-Repo-Commit": commit})
