"""Locks on open files; the system lets go of them when a process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys

_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class HeldError(Exception):
    """Another process holds the lock."""


def hold(handle: int) -> None:
    """Lock an open file against all other processes; where a file system has no locks, do nothing.

    Raises:
        HeldError: Another process holds it.
        OSError: The file cannot be locked for another reason.
    """
    try:
        _lock(handle)
    except OSError as error:
        if error.errno in _BUSY:
            raise HeldError from None
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise


def release(handle: int) -> None:
    """Close the file and with it let go of its lock."""
    os.close(handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, 2**30, os.SEEK_SET)  # far behind what others must be able to read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
