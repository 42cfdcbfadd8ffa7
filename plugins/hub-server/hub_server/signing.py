"""Addresses that take an upload for a while, signed so that they need no token."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hub_server.database import Database
from hub_server.refusal import RefusedError

LIFE = 6 * 3600
"""Seconds for which an address takes an upload."""


@dataclass(frozen=True)
class Upload:
    """What a signed address takes: a large file, or one part of it."""

    repository: int
    oid: str
    """The whole file's sha256."""

    size: int
    """Bytes that it takes."""

    part: int = 0
    """The part's number from 1; 0 for the whole."""

    def path(self, database: Database) -> str:
        """Return a signed address, relative to the server's, that is valid from now on."""
        expires = int(time.time()) + LIFE
        part = f"/{self.part}" if self.part else ""
        query = f"size={self.size}&expires={expires}&sig={self._sign(database, expires)}"
        return f"/lfs/{self.repository}/{self.oid}{part}?{query}"

    def check(self, database: Database, query: Mapping[str, str]) -> None:
        """Refuse an address that was changed or is too old."""
        expires = query.get("expires", "")
        number = int(expires) if expires.isascii() and expires.isdigit() else 0
        wanted = self._sign(database, number).encode()
        if not hmac.compare_digest(wanted, query.get("sig", "").encode()) or number < time.time():
            raise RefusedError(403, "The address of this upload is not valid or too old.")

    def _sign(self, database: Database, expires: int) -> str:
        with database.reading() as db:
            secret = db.execute("SELECT value FROM settings WHERE name = 'secret'").fetchone()[0]
        text = f"{self.repository}/{self.oid}/{self.size}/{expires}/{self.part}"
        return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()
