"""What the wrong plugin provides: every method is announced properly but for what it breaks."""

from hub_core.spec import Method, hookimpl

HERE = "wrong_methods"
NOTHING = "hub_core.options:NoOptions"
BODY = "hub_core.testing.toys.options:BodyOptions"


def method(name, module, **more):
    values = {
        "summary": f"Wrong: {name}",
        "factory": f"{HERE}.{module}:{''.join(word.title() for word in name.split('-'))}",
        "options": NOTHING,
        **more,
    }
    return Method(name=name, **values)


PARTS = (
    "draws-from-nowhere", "unlearns", "counts-steps", "mixes-types", "remembers-elsewhere",
    "keeps-its-prompt", "sees-padding", "moves-frozen", "moves-at-start", "counts-selects",
    "forgets-its-choice", "leaves-a-hook", "leaves-a-parametrization", "holds-a-tensor",
    "hides-a-tensor", "halves-at-the-end", "folds-twice", "forgets-between", "rates-by-chance",
)  # fmt: skip
OPTIONS = ("Undescribed", "Unbounded", "Open", "Loose", "BadDefault", "Demanding", "OneWay")


@hookimpl
def hub_strategies():
    for name in PARTS:
        yield method(name, "parts")
    yield method("toy-open", "parts", factory="hub_core.testing.toys.strategies:Open")
    plain = {"factory": f"{HERE}.parts:Unlearns"}
    yield method("ends-in-a-stop", "parts", **plain | {"summary": "It ends."})
    yield method("small-letter", "parts", **plain | {"summary": "it begins"})
    yield method("no-address", "parts", **plain | {"paper": "Devlin et al., 2019"})
    yield method("lies-elsewhere", "parts", **plain | {"factory": "json:loads"})
    yield method("is-not-there", "parts", factory=f"{HERE}.parts:Missing")
    yield method("needs-what-nobody-has", "parts", **plain | {"requires": frozenset({"audio"})})
    for name in OPTIONS:
        yield method(name.lower(), "parts", **plain | {"options": f"{HERE}.options:{name}"})


@hookimpl
def hub_compressors():
    for name in ("loses-too-much", "reports-too-few-bytes", "reports-no-number"):
        yield method(name, "parts", requires=frozenset({"linears", "float-weights"}))


@hookimpl
def hub_heads():
    tags = {"requires": frozenset({"text"}), "provides": frozenset({"scores", "head-weights"})}
    for name in (
        "shuffles-rows", "compares-examples", "keeps-tensors", "wants-targets", "averages-losses",
        "pools-padding", "predicts-tensors", "predicts-too-few", "has-no-such-metric",
        "reads-what-is-optional", "divides-by-labels", "mixes-old-labels", "keeps-its-scale",
        "shows-padding",
    ):  # fmt: skip
        yield method(name, "heads", **tags)
    tags["provides"] |= {"linear-output"}
    for name in ("scores-otherwise", "aims-at-numbers"):
        yield method(name, "heads", **tags)


@hookimpl
def hub_backbones():
    for name in (
        "is-nobody", "takes-anything", "is-drawn-anew", "plans-by-loading", "plans-other-tags",
        "is-elsewhere", "has-odd-roles", "averages-padding", "cuts-in-silence", "splits-by-company",
        "comes-back-smaller", "tells-its-place", "generates-too-much",
    ):  # fmt: skip
        yield method(name, "backbones", options=BODY)
