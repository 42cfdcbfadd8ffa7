"""The suites: each check catches a method that breaks its promise, and passes a right one."""

import json
import subprocess
import sys
import textwrap

import pytest

from hub_core.catalog import installed, offering
from hub_core.testing import (
    BackboneTests,
    CompressorTests,
    HeadTests,
    StrategyTests,
    bytes_of,
    facts,
)
from hub_core.testing.__main__ import main
from hub_core.testing.measuring import failed, suites_in
from hub_core.testing.suite import Suite
from hub_core.testing.surroundings import TOYS, environment

S, C, H, B = StrategyTests, CompressorTests, HeadTests, BackboneTests

CAUGHT = [
    # announced
    (S, "ends-in-a-stop", "test_names_and_summary_follow_the_rules", "full stop"),
    (S, "small-letter", "test_names_and_summary_follow_the_rules", "lower case"),
    (S, "no-address", "test_names_and_summary_follow_the_rules", "is no https address"),
    (S, "lies-elsewhere", "test_names_and_summary_follow_the_rules", "lies in another package"),
    (S, "is-not-there", "test_names_and_summary_follow_the_rules", "cannot load"),
    (S, "toy-open", "test_names_and_summary_follow_the_rules", "is also the name of"),
    (S, "undescribed", "test_options_are_closed_and_explained", "name has no description"),
    (S, "unbounded", "test_options_are_closed_and_explained", "rank is a number without bounds"),
    (S, "open", "test_options_are_closed_and_explained", "takes options that it does not know"),
    (S, "loose", "test_options_are_closed_and_explained", "can be changed after it was checked"),
    (S, "baddefault", "test_options_are_closed_and_explained", "break the options' own rules"),
    (S, "demanding", "test_options_are_closed_and_explained", "rank has no default"),
    (S, "oneway", "test_options_survive_a_recipe", "others after they were written"),
    # runs
    (S, "needs-what-nobody-has", "test_the_loss_falls", "give the suite a backbone and a head"),
    (S, "draws-from-nowhere", "test_same_seed_same_result", "gives something else: delta|head"),
    (S, "unlearns", "test_the_loss_falls", "the loss on the toy task was 0"),
    (S, "counts-steps", "test_resume_equals_a_straight_run", "differs from a straight one"),
    (S, "mixes-types", "test_trains_in_bfloat16", "dtype|scalar type"),
    (S, "remembers-elsewhere", "test_a_new_process_gives_the_same_outputs", "outputs that differ"),
    (S, "remembers-elsewhere", "test_composes_or_is_refused_for_a_tag", "a new process gets"),
    (S, "sees-padding", "test_composes_or_is_refused_for_a_tag", "on toy-recurrent: Attribute"),
    # parts
    (S, "keeps-its-prompt", "test_one_vector_for_every_position", "strip what was added"),
    (S, "sees-padding", "test_one_vector_for_every_position", "must not see the padding"),
    (S, "moves-frozen", "test_unselected_parameters_keep_their_bits", "training changes what"),
    (S, "moves-at-start", "test_unselected_parameters_keep_their_bits", "before training these"),
    (S, "counts-selects", "test_choosing_depends_on_the_clock_alone", "names other parameters"),
    (S, "rates-by-chance", "test_choosing_depends_on_the_clock_alone", "another factor"),
    (S, "forgets-its-choice", "test_state_makes_the_same_model", "give other outputs"),
    (S, "forgets-between", "test_state_makes_the_same_model", "something else after load_state"),
    (S, "leaves-a-hook", "test_finalize_leaves_plain_modules", "leaves hooks on backbone"),
    (S, "leaves-a-parametrization", "test_finalize_leaves_plain_modules", "parametrizations on"),
    (S, "holds-a-tensor", "test_it_moves_with_the_model", "use register_buffer"),
    (S, "hides-a-tensor", "test_it_moves_with_the_model", "stays behind"),
    (S, "halves-at-the-end", "test_finalize_keeps_the_outputs", "finalize changes the outputs"),
    (S, "folds-twice", "test_folding_it_in_keeps_the_outputs", "folding it in changes"),
    (C, "loses-too-much", "test_outputs_stay_within_the_tolerance", "tolerated is 0.1"),
    (C, "reports-too-few-bytes", "test_reported_figures_are_true", "bytes are saved"),
    (C, "reports-no-number", "test_reported_figures_are_true", "these figures are no numbers"),
    # heads
    (H, "shuffles-rows", "test_every_example_has_its_rows", "in order, and index says whose"),
    (H, "compares-examples", "test_every_example_has_its_rows", "depend on the other examples"),
    (H, "keeps-tensors", "test_every_example_has_its_rows", "must be numbers, texts or lists"),
    (H, "wants-targets", "test_every_example_has_its_rows", "with target None"),
    (H, "averages-losses", "test_every_row_has_its_own_loss", "one loss for each"),
    (H, "pools-padding", "test_every_row_has_its_own_loss", "padding must not count"),
    (H, "shows-padding", "test_every_row_has_its_own_loss", "1 in all for each hop, and 0 on"),
    (H, "scores-otherwise", "test_every_row_has_its_own_loss", "are not output(vector("),
    (H, "aims-at-numbers", "test_every_row_has_its_own_loss", "ideal_scores gives (8,)"),
    (H, "predicts-tensors", "test_every_example_has_its_prediction", "must be plain data"),
    (H, "predicts-too-few", "test_every_example_has_its_prediction", "7 predictions for 8"),
    (H, "has-no-such-metric", "test_every_example_has_its_prediction", "no finite numbers"),
    (H, "reads-what-is-optional", "test_bad_data_are_refused_in_words", "column label end"),
    (H, "divides-by-labels", "test_bad_data_are_refused_in_words", "end in ZeroDivisionError"),
    (H, "mixes-old-labels", "test_growing_keeps_the_old_labels", "scores of old labels are others"),
    (H, "keeps-its-scale", "test_a_new_process_gives_the_same_outputs", "outputs that differ"),
    # backbones
    (B, "is-nobody", "test_identity_tells_models_apart", "is no sha256"),
    (B, "takes-anything", "test_identity_tells_models_apart", "must raise BaseMismatchError"),
    (B, "is-drawn-anew", "test_identity_tells_models_apart", "not the same: embed.weight"),
    (B, "tells-its-place", "test_identity_tells_models_apart", "tells a path of this machine"),
    (B, "plans-by-loading", "test_planning_reads_no_weights", "plan builds the model"),
    (B, "plans-other-tags", "test_planning_reads_no_weights", "do not agree about"),
    (B, "is-elsewhere", "test_the_layout_is_where_things_are", "that are not there: words"),
    (B, "has-odd-roles", "test_the_layout_is_where_things_are", "no such roles: matrix"),
    (B, "averages-padding", "test_texts_are_read_alike_in_any_company", "when a longer text"),
    (B, "cuts-in-silence", "test_texts_are_read_alike_in_any_company", "which is not told"),
    (B, "splits-by-company", "test_texts_are_read_alike_in_any_company", "tokenized otherwise"),
    (B, "comes-back-smaller", "test_the_empty_architecture_is_the_same", "has other tensors"),
    (B, "generates-too-much", "test_generating_gives_what_was_asked_for", "gives (2, 4)"),
]  # fmt: skip


def wrong(base, name, **more):
    plugin = {"method": f"wrong-methods:{name}", "plugin": "wrong_methods.plugin"}
    return type("TestWrong", (base,), plugin | more)


def run(suite, test):
    try:
        takes_case = any(name.startswith(f"{test}[") for name in suite.all_tests())
        getattr(suite(), test)(*(["default"] if takes_case else []))
    finally:
        suite.teardown_class()


@pytest.mark.parametrize(("base", "name", "test", "said"), CAUGHT)
def test_a_method_that_breaks_a_promise_is_caught(base, name, test, said):
    with pytest.raises((AssertionError, RuntimeError)) as raised:
        run(wrong(base, name), test)
    assert any(part in str(raised.value) for part in said.split("|")), str(raised.value)


def test_every_check_has_a_method_that_it_catches():
    caught = {test for _, _, test, _ in CAUGHT}
    there = {name.partition("[")[0] for base in (S, C, H, B)
             for name in wrong(base, "unlearns").all_tests()}  # fmt: skip
    assert there - caught == {"test_importing_the_plugin_is_light"}  # which is below


@pytest.mark.parametrize(
    ("module", "said"), [("heavy", "imports numpy and takes"), ("printing", "prints 'hello")]
)
def test_a_plugin_that_is_not_light_is_caught(module, said):
    suite = wrong(S, "unlearns", plugin=f"wrong_methods.{module}")
    with pytest.raises(AssertionError, match=said):
        run(suite, "test_importing_the_plugin_is_light")


@pytest.mark.parametrize(
    ("base", "name", "more"),
    [
        (S, "toy-beside", {}),
        (C, "toy-round", {"tolerance": 0.01}),
        (H, "toy-words", {}),
        (B, "toy-causal", {"cases": {"default": {}, "wide": {"width": 48}}}),
    ],
)
def test_a_right_method_passes_every_check(base, name, more):
    suite = type("TestRight", (base,), {"method": f"hub-testing:{name}", **more})
    try:
        assert dict(failed(suite)) == {}
    finally:
        suite.teardown_class()


def test_a_figure_is_compared_with_what_is_measured():
    toy = {"method": "hub-testing:toy-round"}
    figures = {"bytes_after": lambda model: bytes_of(model)}
    with pytest.raises(AssertionError, match=r"^it reports bytes_after = .*, measured is "):
        run(type("T", (C,), toy | {"figures": figures}), "test_reported_figures_are_true")
    with pytest.raises(AssertionError, match=r"^it reports no figure zeros$"):
        run(type("T", (C,), toy | {"figures": {"zeros": bytes_of}}),
            "test_reported_figures_are_true")  # fmt: skip


# -- the rules of a suite's class


def test_overriding_a_check_is_an_error():
    with pytest.raises(
        TypeError,
        match=r"^TestMine overrides test_the_loss_falls, which is the suite's own: give your test "
        r"another name, or list the suite's in known_failures with a reason$",
    ):
        type("TestMine", (S,), {"method": "lora", "test_the_loss_falls": lambda self, case: None})


def test_a_known_failure_of_no_test_is_an_error():
    with pytest.raises(
        TypeError,
        match=r"^TestMine: there is no test test_the_loss_fals\[default\]; "
        r"did you mean 'test_the_loss_falls\[default\]'\?$",
    ):
        type("TestMine", (S,), {"method": "x", "known_failures": {
            "test_the_loss_fals[default]": "it is like that"}})  # fmt: skip


def test_a_known_failure_without_a_reason_is_an_error():
    with pytest.raises(
        TypeError, match=r"^TestMine: the known failure test_the_loss_falls.* has no"
    ):
        type("TestMine", (S,), {"method": "x", "known_failures": {
            "test_the_loss_falls[default]": " "}})  # fmt: skip


def test_a_suite_without_a_method_is_an_error():
    with pytest.raises(TypeError, match=r"^TestMine names no method: method = 'plugin:name'$"):
        type("TestMine", (S,), {})


def test_cases_without_labels_are_named_by_their_options():
    suite = type("TestMine", (S,), {"method": "x", "cases": ({}, {"r": 2, "dora": True})})
    assert "test_the_loss_falls[default]" in list(suite.all_tests())
    assert "test_the_loss_falls[r=2,dora=True]" in list(suite.all_tests())


FILE = """
from hub_core.testing import StrategyTests


class TestWrong(StrategyTests):
    method = "wrong-methods:unbounded"
    plugin = "wrong_methods.plugin"
    cases = {"one": {}, "two": {"rank": 3}}
    known_failures = {
        "test_options_are_closed_and_explained": "known",
        "test_choosing_depends_on_the_clock_alone[two]": "not true",
        "test_the_loss_falls[one]": "known",
    }

    def test_of_my_own(self):
        with self.trial("two") as trial:
            assert trial.options == {"rank": 3}


class TestAnew(StrategyTests):
    method = "wrong-methods:unlearns"
    plugin = "wrong_methods.plugin"
    cases = [lambda folder: {}]
"""


def test_pytest_runs_a_suite_without_any_conftest(tmp_path):
    path = tmp_path / "test_conformance.py"
    path.write_text(textwrap.dedent(FILE), encoding="utf-8")
    chosen = "options or depends or falls or own"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-k", chosen, "."],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = {line.partition(" - ")[0] for line in done.stdout.splitlines()}
    start = "test_conformance.py::TestWrong::test_"
    assert lines >= {
        f"XFAIL {start}options_are_closed_and_explained",
        f"FAILED {start}choosing_depends_on_the_clock_alone[two]",
        f"PASSED {start}choosing_depends_on_the_clock_alone[one]",
        f"XFAIL {start}the_loss_falls[one]",
        f"FAILED {start}the_loss_falls[two]",
        f"PASSED {start}of_my_own",
        "FAILED test_conformance.py::TestAnew::test_the_loss_falls[case-0]",
    }
    assert "the loss on the toy task was" in done.stdout
    assert [suite.__name__ for suite in suites_in(path)] == ["TestWrong", "TestAnew"]


# -- facts


def test_facts_tell_what_holds_and_are_plain_data():
    suite = wrong(S, "counts-steps", cases={"default": {}})
    found = facts(suite)
    assert json.loads(json.dumps(found)) == found
    assert found["method"] == "wrong-methods:counts-steps"
    assert (found["kind"], found["cases"]) == ("strategy", ["default"])
    able = ("trains", "saves_and_loads", "repeats", "composes", "bfloat16", "moves", "merges")
    assert {name: found[name] for name in able} == dict.fromkeys(able, True)
    assert found["import_seconds"] >= 0
    assert found["resumes"] is False
    assert list(found["failures"]) == ["test_resume_equals_a_straight_run[default]"]
    assert found["backbones"] == {f"toy-{n}": "holds" for n in ("stack", "causal", "recurrent")}


def test_a_method_that_nobody_provides_is_told(capsys):
    assert main(["nothing-of-the-kind"]) == 1
    assert capsys.readouterr().err == (
        "no installed plugin provides a method named 'nothing-of-the-kind'\n"
        "'hub methods' lists what is installed\n"
    )


def test_a_test_file_that_cannot_be_imported_is_told(tmp_path, capsys):
    path = tmp_path / "test_broken.py"
    path.write_text("import nothing_of_the_kind\n", encoding="utf-8")
    assert main(["--file", str(path)]) == 1
    assert capsys.readouterr().err == (
        f"{path} cannot be imported: ModuleNotFoundError: No module named 'nothing_of_the_kind'\n"
    )


def test_offered_plugins_are_there_for_as_long_as_it_lasts():
    before = [plugin.name for plugin in installed().plugins()]
    with offering(TOYS) as catalog:
        assert catalog is installed()
        assert catalog.find("head", "hub-testing:toy-label").plugin == TOYS
    assert [plugin.name for plugin in installed().plugins()] == before
    assert "hub-testing" not in before


def test_the_kit_is_a_class_and_nothing_else():
    assert not any(name.startswith("Test") for name in vars(sys.modules["hub_core.testing"]))
    assert issubclass(S, Suite)
