"""Publish an artifact: proven, complete for others, with a card, then pushed as one commit.

What goes to the Hub differs from the folder in three files: ``hub.json`` and
``adapter_config.json`` say where the backbone is, and ``README.md`` is the card.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_core import __version__, adapter_config, catalog, manifest, notes, scan
from hub_core.card import Published, write_card
from hub_core.card.pictures import picture
from hub_core.errors import ArtifactError, IntegrityError, RecipeError, RemoteError, listed
from hub_core.folders import write_json
from hub_core.identity import sha256_of
from hub_core.manifest import FileEntry, Manifest
from hub_core.recorded import identity_of, recipe_of
from hub_core.remote.connection import connected
from hub_core.remote.listing import resolve
from hub_core.remote.patience import patiently
from hub_core.remote.push import CARD, Hashed, Pushed, Wanted, check, hashed, push
from hub_core.remote.reference import Reference, parse

if TYPE_CHECKING:
    from hub_core.part import Context

PLOT = "results.png"


@dataclass(frozen=True, slots=True)
class Description:
    """What only the author knows, for the card; also where the backbone is.

    Args:
        license: The Hub's id of a licence, such as apache-2.0.
        languages: Codes of languages, such as en.
        datasets: Hub ids of the data sets.
        backbone_id: ``owner/name``, perhaps with ``@revision``, of the backbone on this Hub.
        with_backbone: Publish the backbone too, as ``owner/name-backbone``.
        backbone: Where it is on this machine, if not where it was last used.
    """

    license: str = ""
    languages: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    backbone_id: str = ""
    with_backbone: bool = False
    backbone: str = ""


@dataclass(frozen=True, slots=True)
class Staged:
    """What would be published: name to file, the card, the changed ``hub.json``, and hashes."""

    files: Mapping[str, Path]
    card: str
    content: Manifest
    known: Hashed


def publish(folder: str | Path, wanted: Wanted, description: Description | None = None) -> Pushed:
    """Publish an artifact.

    Args:
        folder: The artifact.
        wanted: Where it goes, and how.
        description: What only the author knows.

    Raises:
        IntegrityError: It is not what was saved, or its proof does not hold.
        ArtifactError: It holds secrets or paths of this machine.
        RemoteError: The Hub refuses, or nobody else could find the backbone.
    """
    with staged(folder, wanted, description or Description()) as ready:
        return push(ready.files, wanted, ready.known)


@contextmanager
def staged(
    folder: str | Path, wanted: Wanted, description: Description, *, dry: bool = False
) -> Iterator[Staged]:
    """Give what would be published, every check of this machine passed.

    Args:
        folder: The artifact.
        wanted: Where it goes, and how.
        description: What only the author knows.
        dry: Publish no backbone either.

    Raises:
        HubError: What ``publish`` raises before it pushes.
    """
    folder = Path(folder)
    _check_wishes(wanted, description)
    content = manifest.read(folder)
    files = {name: folder / name for name in (manifest.NAME, *content.files)}
    with (
        tempfile.TemporaryDirectory(prefix="hub-core-") as scratch,
        ThreadPoolExecutor(1) as beside,  # hashing leaves the interpreter to others
    ):
        checking = beside.submit(manifest.check_files, folder, content)
        import huggingface_hub.hf_api  # noqa: F401  # takes as long as hashing a large file

        checking.result()
        hashing = beside.submit(hashed, files)
        check(files)
        place = description.backbone
        if description.backbone_id:
            place = _compared(content, description.backbone_id)
        prove(folder, content, place)
        hint = place if description.backbone_id else _hint(content, wanted, description, dry=dry)
        changed = _placed(folder, content, hint, Path(scratch))
        card = _card(folder, changed, wanted.name, description, Path(scratch))
        own = {path.name: path for path in sorted(Path(scratch).iterdir())}
        check(own)
        yield Staged({**files, **own}, card, changed, hashing.result())


def _check_wishes(wanted: Wanted, description: Description) -> None:
    """Refuse what cannot be wished for together.

    Raises:
        RecipeError: With both wishes.
        RemoteError: The name is none.
    """
    if parse(wanted.name).revision:
        raise RemoteError(f"{wanted.name} names a revision, but publishing makes a new one",
                          hint="write owner/name; --tag gives the new commit a name")  # fmt: skip
    if wanted.tag and wanted.pull_request:
        raise RecipeError("--tag and --pr exclude each other",
                          hint="tag the commit once the proposal is merged")  # fmt: skip
    if description.backbone_id and description.with_backbone:
        raise RecipeError("--backbone-id and --with-backbone exclude each other",
                          hint="say where the backbone is, or publish it")  # fmt: skip


def prove(folder: Path, content: Manifest, place: str = "") -> None:
    """Make sure that an artifact's proof holds here, where this machine has not seen it hold.

    Args:
        folder: The artifact.
        content: Its ``hub.json``.
        place: Where its backbone is, if not where it was last used.

    Raises:
        IntegrityError: It has no proof, or what loads differs from what was trained.
    """
    if content.proof is None:
        raise IntegrityError(
            f"{folder} was saved without a proof, so nobody knows that it loads",
            hint="train it again without prove=False",
        )
    if sha256_of(folder / manifest.NAME) not in notes.read(notes.PROOFS):
        from hub_core.loading import verify  # what torch is needed for, where it is

        verify(folder, backbone=place)


def _hint(content: Manifest, wanted: Wanted, description: Description, *, dry: bool) -> str:
    """Return ``owner/name@commit`` of the backbone on this Hub, or nothing if none is needed.

    Raises:
        RemoteError: Others would not find it.
    """
    known = content.backbone
    if content.form == "whole":
        return known.hint
    if known.hint and _is_here(parse(known.hint)):
        return known.hint
    if description.with_backbone:
        return _with_backbone(content, wanted, description, dry=dry)
    what = known.name or "this artifact's backbone"
    why = f"is {known.hint}, which this Hub does not have" if known.hint else "has no Hub id"
    raise RemoteError(
        f"the backbone {what} {why}, so nobody else could load the artifact",
        hint="publish it too: --with-backbone; or say where it is: --backbone-id owner/name",
    )


def _is_here(reference: Reference) -> bool:
    """Return whether the Hub has a commit."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    with connected() as (api, _):

        def ask() -> bool:
            try:
                return api.model_info(reference.name, revision=reference.revision) is not None
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return False

        return patiently(str(reference), ask)


def _compared(content: Manifest, place: str) -> str:
    """Return a backbone's place with its commit, after comparing its fingerprint."""
    reference = parse(place)
    with connected() as (api, endpoint):
        pinned = str(Reference(reference.name, resolve(api, endpoint, reference)))
        _backbone(content, pinned)
    return pinned


def _backbone(content: Manifest, place: str = "") -> tuple[Any, Any, Context]:
    """Return the backbone's class, its options and its context, found and compared.

    Raises:
        BaseMismatchError: Another backbone is there.
    """
    from hub_core.part import Context

    choice = recipe_of(Path(), content).backbone
    found = catalog.installed().find("backbone", choice.name)
    options = found.options(choice.options)
    ctx = Context(restoring=True, identity=identity_of(content), place=place)
    factory = found.factory()
    factory.plan(options, ctx)
    return factory, options, ctx


def _with_backbone(
    content: Manifest, wanted: Wanted, description: Description, *, dry: bool
) -> str:
    """Publish the backbone beside the artifact and return its place."""
    name = f"{wanted.name}-backbone"
    factory, options, ctx = _backbone(content, description.backbone)
    files = factory.files(options, ctx)
    what = content.backbone.name or "a backbone"
    card = (
        f"---\nlibrary_name: transformers\ntags:\n- hub-core-backbone\n---\n\n# {name}\n\n"
        f"The backbone of [{wanted.name}](../{wanted.name}), unchanged, so that others find it.\n\n"
        f"It was called {json.dumps(what)} there. Fingerprint: "
        f"`{content.backbone.fingerprint}`.\n"
    )
    with tempfile.TemporaryDirectory(prefix="hub-core-") as scratch:
        path = Path(scratch) / CARD
        path.write_text(card, encoding="utf-8")
        ready = {**{n: p for n, p in files.items() if n != CARD}, CARD: path}
        _check_backbone(ready)
        if dry:
            return f"{name}@{'0' * 40}"
        done = push(ready, replace(wanted, name=name, tag="", pull_request=False,
                                   message=f"The backbone of {wanted.name}"))  # fmt: skip
    return str(Reference(name, done.commit))


def _check_backbone(files: Mapping[str, Path]) -> None:
    """Refuse a backbone with secrets or paths in its files; what it consists of is its plugin's."""
    problems = []
    for name, path in files.items():
        if name.endswith((".json", ".txt", ".md")):
            found = scan.scan_text(path.read_text("utf-8", errors="replace"), name)
            problems += found
    if problems:
        raise ArtifactError(f"the backbone holds what must not be published:{listed(problems)}",
                            hint="publish it yourself, then use --backbone-id")  # fmt: skip


def _placed(folder: Path, content: Manifest, hint: str, scratch: Path) -> Manifest:
    """Write the files that say where the backbone is, and return the changed content."""
    place, _, commit = hint.partition("@")
    files = dict(content.files)
    if hint and adapter_config.NAME in files:
        values = json.loads((folder / adapter_config.NAME).read_text("utf-8"))
        values |= {"base_model_name_or_path": place, "revision": commit}
        target = scratch / adapter_config.NAME
        write_json(target, values)
        files[adapter_config.NAME] = FileEntry(sha256=sha256_of(target), size=target.stat().st_size)
    backbone = content.backbone.model_copy(update={"hint": hint})
    changed = content.model_copy(
        update={"backbone": backbone, "files": files, "recipe": _recipe(content, place, commit)}
    )
    manifest.write(scratch, changed)
    return manifest.read(scratch)


def _recipe(content: Manifest, place: str, commit: str) -> Mapping[str, object]:
    """Return the recipe with the backbone where others find it."""
    recipe = dict(content.recipe)
    if not place:
        return recipe
    found = catalog.installed().find("backbone", recipe_of(Path(), content).backbone.name)
    method, known = found.method, found.options_class().model_fields
    if method.reference:
        own = {method.reference: place} | ({"revision": commit} if "revision" in known else {})
        recipe["backbone"] = {**recipe["backbone"], **own}
    return recipe


def _card(
    folder: Path, content: Manifest, name: str, description: Description, scratch: Path
) -> str:
    """Write the card, and its picture where a plugin draws one."""
    drawn = _picture(folder, content)
    if drawn is not None:
        (scratch / PLOT).write_bytes(drawn)
    own = folder / CARD
    published = Published(
        repository=name,
        license=description.license,
        languages=description.languages,
        datasets=description.datasets,
        plot=PLOT if drawn is not None else "",
        own=own.read_text("utf-8") if own.is_file() else "",
    )
    card = write_card(content, published)
    (scratch / CARD).write_text(card, encoding="utf-8")
    return card


def _picture(folder: Path, content: Manifest) -> bytes | None:
    """Return a PNG, or None; what was drawn once is kept, for drawing takes most of a second."""
    name = f"{sha256_of(folder / manifest.NAME)}-{__version__}.png"
    kept = notes.cache_folder() / "pictures" / name
    with contextlib.suppress(OSError):
        return kept.read_bytes()
    drawn = picture(content)
    if drawn is not None:
        with contextlib.suppress(OSError):  # a full disk is no reason not to publish
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(f".{os.getpid()}")
            partial.write_bytes(drawn)
            os.replace(partial, kept)
    return drawn


def listing(files: Mapping[str, Path]) -> Sequence[tuple[str, int]]:
    """Return name and size in bytes of what would be published."""
    return [(name, path.stat().st_size) for name, path in sorted(files.items())]
