"""What a registry holds, as frozen objects; the JSON Schema of registry.json comes from here.

Formats are read for ever: a field is added with a default, never renamed or removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    field_validator,
    model_validator,
)

from hub_core.declare import Kind

FORMAT = 1
"""The newest format that is read."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, Field(max_length=300)]
DistributionName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]
MethodName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=100)]
OptionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
Version = Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.!+_-]*$", max_length=64)]
Tag = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*(:[a-z0-9-]+)?$", max_length=100)]
Address = Annotated[str, Field(pattern=r"^(https://[^\s\"'<>\\]+)?$", max_length=2000)]
Folder = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$")
]
Number = int | float


def _specifier(text: str) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f"'{text}' is no range of versions, such as '>=0.1,<0.2'") from None
    return text


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Source(_Entry):
    """Where a plugin's code is.

    Args:
        kind: ``repository`` (a folder of a git repository), ``index`` (a package index) or
            ``url`` (a wheel).
        url: The repository, or the wheel; empty for the repository of hub-core itself.
        subdirectory: The folder in the repository.
        index: The package index.
    """

    kind: Literal["repository", "index", "url"]
    url: Address = ""
    subdirectory: Folder = ""
    index: Address = ""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Source:
        if self.kind == "index" and not self.index:
            raise ValueError("a source of kind 'index' must name its index")
        if self.kind == "url" and not self.url:
            raise ValueError("a source of kind 'url' must name its url")
        return self


class Shape(_Entry):
    """One value of a method's options: the part of JSON Schema that options use.

    There are no references, so that a shape is as deep as it is written.
    """

    type: Literal["", "array", "boolean", "integer", "null", "number", "object", "string"] = ""
    description: str = ""
    default: JsonValue = None
    enum: tuple[JsonValue, ...] | None = None
    const: JsonValue = None
    items: Shape | None = None
    any_of: tuple[Shape, ...] | None = Field(None, alias="anyOf")
    minimum: Number | None = None
    maximum: Number | None = None
    exclusive_minimum: Number | None = Field(None, alias="exclusiveMinimum")
    exclusive_maximum: Number | None = Field(None, alias="exclusiveMaximum")
    min_length: int | None = Field(None, alias="minLength")
    max_length: int | None = Field(None, alias="maxLength")
    min_items: int | None = Field(None, alias="minItems")
    max_items: int | None = Field(None, alias="maxItems")
    pattern: str | None = None

    def schema_of(self) -> dict[str, Any]:
        """Return it as JSON Schema, with the keys that were given."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class OptionsEntry(_Entry):
    """The options of a method: a JSON Schema of type object without references."""

    type: Literal["object"] = "object"
    properties: dict[OptionName, Shape] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    required: tuple[str, ...] = ()
    additional: bool = Field(default=False, alias="additionalProperties")

    @field_validator("required")
    @classmethod
    def _are_properties(cls, required: tuple[str, ...], info: Any) -> tuple[str, ...]:
        for name in required:
            if name not in info.data.get("properties", {name}):
                raise ValueError(f"'{name}' is not among the properties")
        return required


class FactsEntry(_Entry):
    """What the conformance suite measured of a method.

    Args:
        source: The hash of the plugin's source that was measured.
        versions: Library to the version it was measured with.
        measured: Fact to what was found.
        reason: Why nothing was measured; empty where something was.
    """

    source: Sha256
    versions: dict[str, Line] = Field(default_factory=dict)
    measured: dict[str, JsonValue] = Field(default_factory=dict)
    reason: Line = ""


class MethodEntry(_Entry):
    """A method as its plugin announces it; tags are those of the default options."""

    kind: Kind
    name: MethodName
    summary: Line
    options: OptionsEntry = OptionsEntry(properties={})
    requires: tuple[Tag, ...] = ()
    provides: tuple[Tag, ...] = ()
    removes: tuple[Tag, ...] = ()
    paper: Line = ""
    facts: FactsEntry | None = None


class PluginEntry(_Entry):
    """One distribution.

    Args:
        version: Its version.
        core: The versions of hub-core that it works with; empty for any.
        source: Where its code is.
        code: sha256 over its Python files and its ``pyproject.toml``; empty where unknown.
        sha256: The wheel's, where there is one.
        homepage: Where to read about it.
        licence: As an SPDX expression.
        maintainers: Who looks after it.
        summary: What it is, in a line.
        methods: What it provides.
        commands: Commands that it adds to ``hub``.
    """

    version: Version
    core: Annotated[str, Field(max_length=200), AfterValidator(_specifier)] = ""
    source: Source
    code: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    homepage: Address = ""
    licence: Line = ""
    maintainers: tuple[Line, ...] = ()
    summary: Line = ""
    methods: tuple[MethodEntry, ...] = ()
    commands: tuple[MethodName, ...] = ()

    _provenance: str = PrivateAttr("")

    @property
    def provenance(self) -> str:
        """The registry that it is from: ``hub-core VERSION``, or an address or file."""
        return self._provenance

    def listed_by(self, place: str) -> PluginEntry:
        """Return it with its provenance, which a registry cannot claim for itself."""
        copy = self.model_copy()
        copy._provenance = place
        return copy

    @model_validator(mode="after")
    def _is_pinned(self) -> PluginEntry:
        if self.source.kind != "repository" and not self.sha256:
            raise ValueError(f"a source of kind '{self.source.kind}' must come with a sha256")
        seen = set()
        for method in self.methods:
            if (method.kind, method.name) in seen:
                raise ValueError(f"the {method.kind} '{method.name}' is listed twice")
            seen.add((method.kind, method.name))
        return self


class Registry(_Entry):
    """The content of ``registry.json``.

    ``clashes`` of several registries that were put together are sentences; a file has none.
    """

    format: int = Field(default=FORMAT, strict=True, ge=1, le=FORMAT)
    plugins: dict[DistributionName, PluginEntry] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )

    _clashes: tuple[str, ...] = PrivateAttr(())

    @property
    def clashes(self) -> tuple[str, ...]:
        """What had to be left out, as sentences."""
        return self._clashes

    def listed_by(self, place: str) -> Registry:
        """Return it with the provenance of every entry."""
        plugins = {name: plugin.listed_by(place) for name, plugin in self.plugins.items()}
        return self.model_copy(update={"plugins": plugins})

    def providers(self, kind: Kind | None, name: str) -> list[str]:
        """Return the plugins that provide a method, of a kind or of any."""
        return [
            distribution
            for distribution, plugin in self.plugins.items()
            if any(m.name == name and kind in (None, m.kind) for m in plugin.methods)
        ]


def together(registries: Iterable[Registry], complaints: Iterable[str] = ()) -> Registry:
    """Put registries together; of two entries for one plugin, the first one counts."""
    plugins: dict[str, PluginEntry] = {}
    clashes = list(complaints)
    for registry in registries:
        clashes += registry.clashes
        for name, plugin in registry.plugins.items():
            first = plugins.setdefault(name, plugin)
            if first is not plugin and first.provenance != plugin.provenance:
                clashes.append(
                    f"{plugin.provenance} lists {name} too; the entry of {first.provenance} counts"
                )
    merged = Registry(plugins=dict(sorted(plugins.items())))
    merged._clashes = tuple(clashes)
    return merged


def json_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of ``registry.json``."""
    found = Registry.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found
