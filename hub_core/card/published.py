"""What is known of a publication besides ``hub.json``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """What a card needs besides ``hub.json``.

    Args:
        repository: ``owner/name``.
        license: The Hub's id of a licence, or empty.
        languages: Codes of languages.
        datasets: Hub ids of the data sets, as the author names them.
        plot: File name of the picture of results that lies beside the card, or empty.
        own: A README.md that the author wrote in the artifact's folder, or empty.
    """

    repository: str
    license: str = ""
    languages: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    plot: str = ""
    own: str = ""

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repository.rpartition("/")[2]
