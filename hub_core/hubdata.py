"""Data sets of the Hugging Face Hub, written ``hub:OWNER/NAME``, ``/CONFIG`` and ``#SPLIT``.

They are fetched with ``datasets``, which since version 4 runs no code of a data set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hub_core.errors import DataError

PREFIX = "hub:"
_WRITTEN = re.compile(
    r"hub:(?P<name>[\w.-]+/[\w.-]+)(/(?P<config>[^/#\s]+))?(#(?P<split>[^#\s]+))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A data set of the Hub.

    Args:
        text: The reference as it was written.
        name: ``OWNER/NAME``.
        config: Its configuration, or None for the only one.
        split: Its split, or None for all of them.
    """

    text: str
    name: str
    config: str | None
    split: str | None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the reference that a text writes.

        Raises:
            DataError: It is not written as such.
        """
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise DataError(
                f"{text}: a data set of the Hub is written hub:OWNER/NAME, "
                "with /CONFIG and #SPLIT behind it where there are several",
                hint="such as hub:stanfordnlp/sst2#train",
            )
        return cls(text, found["name"], found["config"], found["split"])

    def load(self) -> Any:
        """Fetch the data set: a ``Dataset``, or without a split a ``DatasetDict``.

        Raises:
            DataError: It cannot be fetched, or there is no such data set, configuration or split.
        """
        import datasets
        from datasets import exceptions

        try:
            return datasets.load_dataset(self.name, self.config, split=self.split)
        except exceptions.DatasetNotFoundError as error:
            raise DataError(
                f"{self.text}: the Hub shows no data set of that name",
                hint="check the name; if it is private or gated, log in with 'hf auth login'",
            ) from error
        except (ConnectionError, TimeoutError) as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise DataError(
                f"{self.text}: {_told(error)}",
                hint="write hub:OWNER/NAME/CONFIG#SPLIT with a configuration and a split it has",
            ) from error
        except (OSError, RuntimeError, exceptions.DatasetsError) as error:
            if "offline" in str(error).lower() or _is_of_network(error):
                raise self._unreachable(error) from error
            raise DataError(
                f"{self.text}: cannot be read: {_told(error)}",
                hint="download its files and name them instead",
            ) from error

    def _unreachable(self, error: Exception) -> DataError:
        return DataError(
            f"{self.text}: the Hub cannot be reached: {_told(error)}",
            hint="check the connection and HF_HUB_OFFLINE, or download the data set "
            "elsewhere and name its files",
        )


def _is_of_network(error: Exception) -> bool:
    """Return whether an error, or what caused it, comes from the HTTP library."""
    chain: BaseException | None = error
    while chain is not None:
        if type(chain).__module__.partition(".")[0] in ("httpx", "httpcore", "requests"):
            return True
        if isinstance(chain, ConnectionError | TimeoutError):
            return True
        chain = chain.__cause__ or chain.__context__
    return False


def _told(error: Exception) -> str:
    """Return a library's message on one line."""
    return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
