"""The class that every suite is: a plugin's whole test file is a class with ``method``.

pytest collects it like any class; nothing is registered and no conftest is needed. ``outcomes``
runs the same tests without pytest.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hub_core.catalog import Catalog, Plugin, Provided
from hub_core.declare import Kind
from hub_core.errors import near
from hub_core.model import TaskModel
from hub_core.testing.checks import announced, running
from hub_core.testing.surroundings import load_in_new_process, surrounded
from hub_core.testing.trial import Choice, Rows, Terms, Trial

Given = Mapping[str, Any] | Callable[[Path], Mapping[str, Any]]
"""Options, or a function of a scratch folder that makes what they need and returns them."""


class Suite:
    """What every method keeps, whatever its kind.

    Attributes:
        method: The method's name, ``plugin:name`` or ``name``.
        cases: Label to options; a sequence of options is labelled by what is in them.
        known_failures: Test name, with its case, to the reason why it fails. A listed test that
            passes is a failure.
        backbone: The backbone to be tried on, where no toy will do.
        head: The head to be tried with, where no toy will do.
        backbones: Label to further backbones that it must work with: name and options, or a
            function of a scratch folder that returns them.
        training: What differs from six epochs in batches of eight.
        data: ``data(count, seed)``, rows for a head that toy data do not fit.
        plugin: The module of a plugin that is not installed.
    """

    kind: ClassVar[Kind]
    method: ClassVar[str] = ""
    cases: ClassVar[Mapping[str, Given] | Sequence[Given]] = ({},)
    known_failures: ClassVar[Mapping[str, str]] = {}
    backbone: ClassVar[Choice | None] = None
    head: ClassVar[Choice | None] = None
    backbones: ClassVar[Mapping[str, Given]] = {}
    training: ClassVar[Mapping[str, Any]] = {}
    data: ClassVar[Callable[[int, int], Rows] | None] = None
    plugin: ClassVar[str] = ""

    _labelled: ClassVar[dict[str, Given]]
    _trials: ClassVar[dict[str, Trial]]
    _answers: ClassVar[dict[tuple[str, str], Any]]
    _scratch: ClassVar[tempfile.TemporaryDirectory[str] | None]

    def __init_subclass__(cls, *, kind: Kind | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if kind is not None:
            cls.kind = kind
            return
        if not cls.method:
            raise TypeError(f"{cls.__name__} names no method: method = 'plugin:name'")
        _refuse_overriding(cls)
        cls._labelled = labelled(cls.cases)
        cls._trials, cls._answers, cls._scratch = {}, {}, None
        cls._mark_known()

    @classmethod
    def _mark_known(cls) -> None:
        known = list(cls.all_tests())
        for name, reason in cls.known_failures.items():
            if name not in known:
                hint = near(name, known) or f"it has {', '.join(known)}"
                raise TypeError(f"{cls.__name__}: there is no test {name}; {hint}")
            if not reason.strip():
                raise TypeError(f"{cls.__name__}: the known failure {name} has no reason")
            if "[" not in name:
                setattr(cls, name, _expected_to_fail(getattr(cls, name), reason))

    @classmethod
    def all_tests(cls) -> Iterator[str]:
        """Yield the names of the suite's tests, with their cases."""
        for name in _own_tests(cls):
            if "case" in inspect.signature(getattr(cls, name)).parameters:
                yield from (f"{name}[{label}]" for label in cls._labelled)
            else:
                yield name

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run every test that takes a case with every case."""
        if "case" not in metafunc.fixturenames:
            return
        import pytest

        cases = []
        for label in self._labelled:
            reason = self.known_failures.get(f"{metafunc.function.__name__}[{label}]")
            marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
            cases.append(pytest.param(label, id=label, marks=marks))
        metafunc.parametrize("case", cases)

    @classmethod
    def teardown_class(cls) -> None:
        """Remove what was written."""
        if cls._scratch is not None:
            cls._scratch.cleanup()
        cls._trials, cls._answers, cls._scratch = {}, {}, None

    # -- what tests work with

    @classmethod
    def _folder(cls) -> Path:
        if cls._scratch is None:
            cls._scratch = tempfile.TemporaryDirectory(
                prefix="hub-testing-", ignore_cleanup_errors=True
            )
        return Path(cls._scratch.name)

    @classmethod
    @contextmanager
    def _surrounded(cls) -> Iterator[tuple[Catalog, Provided]]:
        with surrounded(cls._plugins(), cls._folder() / "cache") as catalog:
            yield catalog, catalog.find(cls.kind, cls.method)

    @classmethod
    def _plugins(cls) -> tuple[Plugin, ...]:
        name = cls.method.rpartition(":")[0] or cls.plugin.partition(".")[0].replace("_", "-")
        return (Plugin(name, cls.plugin, name, "0"),) if cls.plugin else ()

    @classmethod
    def _terms(cls) -> dict[str, Any]:
        data = inspect.getattr_static(cls, "data")
        rows = data.__func__ if isinstance(data, staticmethod) else data
        return {"method": cls.method, "kind": cls.kind, "backbone": cls.backbone, "head": cls.head,
                "training": cls.training, "data": rows, "plugins": cls._plugins()}  # fmt: skip

    @classmethod
    def _trial(cls, label: str, catalog: Catalog, provided: Provided) -> Trial:
        if label not in cls._trials:
            folder = cls._folder() / f"case-{len(cls._trials)}"
            folder.mkdir(exist_ok=True)
            options = _made(cls._labelled[label], folder)
            bodies = {name: _made(body, folder) for name, body in cls.backbones.items()}
            terms = Terms(backbones=bodies, **cls._terms())
            cls._trials[label] = Trial(terms, provided, options, catalog, folder)
        trial = cls._trials[label]
        trial.catalog = catalog
        return trial

    @contextmanager
    def trial(self, case: str) -> Iterator[Trial]:
        """Give the trial of a case, with the toys on offer for as long as it is used."""
        with self._surrounded() as (catalog, provided):
            yield self._trial(case, catalog, provided)

    @classmethod
    def _answer(cls, label: str, catalog: Catalog, provided: Provided) -> dict[str, Any]:
        """Return what a new process says of a case's artifacts; all cases are asked at once."""
        if not cls._answers:
            cls._ask(catalog, provided)
        return {name: answer for (case, name), answer in cls._answers.items() if case == label}

    @classmethod
    def _ask(cls, catalog: Catalog, provided: Provided) -> None:
        folders: dict[tuple[str, str], Path] = {}
        for label in cls._labelled:
            try:
                trial = cls._trial(label, catalog, provided)
                folder = trial.straight.predictor.folder
                company = trial.company
            except Exception as error:  # told by the tests of that case
                cls._answers[label, "straight"] = error
                continue
            assert folder is not None
            folders[label, "straight"] = folder
            folders |= {(label, n): o.folder for n, o in company.items() if o.folder}
        try:
            answers = load_in_new_process(cls._plugins(), list(folders.values()))
        except AssertionError as error:
            cls._answers.update(dict.fromkeys(folders, error))
        else:
            cls._answers.update(zip(folders, answers, strict=True))

    # -- the tests

    def test_importing_the_plugin_is_light(self) -> None:
        """Nothing heavy is imported before a method is used."""
        with self._surrounded() as (_, provided):
            announced.light(provided)

    def test_names_and_summary_follow_the_rules(self) -> None:
        """It is announced as others are, and its name is its own."""
        with self._surrounded() as (catalog, provided):
            announced.named(provided)
            announced.alone(provided, catalog)

    def test_options_are_closed_and_explained(self) -> None:
        """Unknown options are refused; every one has a description and bounds."""
        with self._surrounded() as (_, provided):
            announced.described(provided)

    def test_options_survive_a_recipe(self, case: str) -> None:
        """A case's options are accepted, and the same after JSON."""
        with self.trial(case) as trial:
            announced.accepted(trial)

    def test_same_seed_same_result(self, case: str) -> None:
        """The recipe's seed decides everything."""
        with self.trial(case) as trial:
            running.repeats(trial)

    def test_the_loss_falls(self, case: str) -> None:
        """A task that is easy to learn is learned."""
        with self.trial(case) as trial:
            running.learns(trial)

    def test_resume_equals_a_straight_run(self, case: str) -> None:
        """A run that was broken off goes on to the same bits."""
        with self.trial(case) as trial:
            running.resumes(trial)

    def test_trains_in_bfloat16(self, case: str) -> None:
        """It trains where matrix products are computed in bfloat16."""
        with self.trial(case) as trial:
            running.halves(trial)

    def test_a_new_process_gives_the_same_outputs(self, case: str) -> None:
        """What is saved is complete: no data, no chance, nothing of this process is needed."""
        with self._surrounded() as (catalog, provided):
            running.loads(self._answer(case, catalog, provided)["straight"])

    def test_composes_or_is_refused_for_a_tag(self, case: str) -> None:
        """It works with every toy, in both orders, or tags say why it does not."""
        with self._surrounded() as (catalog, provided):
            answers = self._answer(case, catalog, provided)
            running.composes(self._trial(case, catalog, provided).company, answers)


def _made(given: Given, folder: Path) -> Mapping[str, Any]:
    return given(folder) if callable(given) else given


def labelled(cases: Mapping[str, Given] | Sequence[Given]) -> dict[str, Given]:
    """Return label to options."""
    if isinstance(cases, Mapping):
        return dict(cases)
    return {_label(given, number): given for number, given in enumerate(cases)}


def _label(given: Given, number: int) -> str:
    if callable(given):
        return f"case-{number}"
    return ",".join(f"{name}={value}" for name, value in given.items()) or "default"


def _own_tests(cls: type) -> list[str]:
    """Return the names of the tests that the suites bring, in the order of their definition."""
    kits = [base for base in reversed(cls.__mro__) if base.__module__.startswith(__package__ or "")]
    return list(dict.fromkeys(n for kit in kits for n in vars(kit) if n.startswith("test_")))


def _refuse_overriding(cls: type) -> None:
    for name in _own_tests(cls):
        if name in vars(cls):
            raise TypeError(
                f"{cls.__name__} overrides {name}, which is the suite's own: give your test "
                "another name, or list the suite's in known_failures with a reason"
            )


def _expected_to_fail(test: Callable[..., None], reason: str) -> Callable[..., None]:
    import pytest

    def copy(self: Any) -> None:
        test(self)

    copy.__name__, copy.__doc__ = test.__name__, test.__doc__
    marked: Callable[..., None] = pytest.mark.xfail(strict=True, reason=reason)(copy)
    return marked


Figures = Mapping[str, Callable[[TaskModel], float]]
