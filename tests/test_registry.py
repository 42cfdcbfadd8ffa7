"""Registries are checked at the door, come whole or not at all, and count once accepted."""

import http.server
import json
import threading
from dataclasses import asdict
from datetime import UTC, date, datetime
from hashlib import sha256
from importlib import metadata

import jsonschema
import pytest
from registries import HASH, content, method, no, plugin, written, yes

from hub_core import notes
from hub_core.available import available
from hub_core.catalog import installed
from hub_core.cli import main
from hub_core.registry import (
    Accepted,
    RegistryError,
    accepted,
    add,
    forget,
    known,
    pinned,
    read,
    reading,
    remembered,
    shipped,
)
from hub_core.registry.entries import json_schema


@pytest.fixture(autouse=True)
def _own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_CORE_CACHE", str(tmp_path / "cache"))


def refusal(call, *arguments, **more):
    with pytest.raises(RegistryError) as caught:
        call(*arguments, **more)
    return caught.value


# -- what is shipped


def test_the_shipped_registry_fits_the_written_schema_and_lists_every_method_of_the_repository(
    request,
):
    root = request.config.rootpath
    values = json.loads((root / "registry.json").read_text("utf-8"))
    schema = json.loads((root / "registry.schema.json").read_text("utf-8"))
    assert schema == json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    assert {*shipped().plugins} == {
        p.parent.name for p in root.glob("plugins/hub-*/pyproject.toml")
    }
    listed = {(n, m.kind, m.name) for n, p in shipped().plugins.items() for m in p.methods}
    here = {
        (p.plugin.distribution, p.kind, p.method.name)
        for p in installed().methods()
        if p.plugin.distribution in shipped().plugins
    }
    assert here
    assert listed == here


def test_a_schema_checker_refuses_what_the_reader_refuses():
    for wrong in (
        content(hub_far=plugin(method(kind="engine"))),
        content(hub_far=plugin(version="")),
        content(hub_far=plugin(homepage="javascript:alert(1)")),
        content(Hub_Far=plugin()),
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, json_schema())


def test_listed_options_are_those_of_the_installed_methods():
    from hub_core.cli.listing import option_rows, options_for, options_in

    compared = 0
    for one in available(installed(), shipped()):
        if one.installed and one.entry is not None:
            rows = option_rows(options_for(one))
            assert option_rows(options_in(one.entry.options)) == rows
            compared += 1
    assert compared > 5


# -- reading


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            content(hub_far=plugin(method(), method(name="b"), method(name="c", kind="engine"))),
            "plugins.hub-far.methods[2].kind: input should be 'backbone', 'head', 'strategy' or "
            "'compressor'",
        ),
        (
            content(hub_far={"source": {"kind": "repository"}}),
            "plugins.hub-far.version: must be given",
        ),
        (
            content(hub_far=plugin(source={"kind": "index", "index": "https://example.org/simple"})),
            "plugins.hub-far: a source of kind 'index' must come with a sha256",
        ),
        (
            content(hub_far=plugin(sha256=HASH, source={"kind": "index"})),
            "plugins.hub-far.source: a source of kind 'index' must name its index",
        ),
        (
            content(hub_far=plugin(sha256=HASH, source={"kind": "url"})),
            "plugins.hub-far.source: a source of kind 'url' must name its url",
        ),
        (
            content(hub_far=plugin(core="newest")),
            "plugins.hub-far.core: 'newest' is no range of versions, such as '>=0.1,<0.2'",
        ),
        (
            content(hub_far=plugin(method(), method())),
            "plugins.hub-far: the strategy 'far-away' is listed twice",
        ),
        (
            content(hub_far=plugin(method(options={"required": ["rank"]}))),
            "plugins.hub-far.methods[0].options.required: 'rank' is not among the properties",
        ),
        (
            content(hub_far=plugin(method(options={"properties": {"r": {"minimum": "x"}}}))),
            "plugins.hub-far.methods[0].options.properties.r.minimum: input should be a valid "
            "integer, unable to parse string as an integer",
        ),
        (
            content(Hub_Far=plugin()),
            "plugins: the name 'Hub-Far' cannot be used: string should match pattern "
            "'^[a-z0-9]+(-[a-z0-9]+)*$'",
        ),
        (
            {"plugins": []},
            "plugins: input should be a valid dictionary",
        ),
        ([], "input should be a valid dictionary or instance of Registry"),
    ],
)  # fmt: skip
def test_a_broken_schema_is_told_with_the_path_to_it(tmp_path, values, problem):
    path = written(tmp_path, values)
    error = refusal(read, path)
    lines = error.message.splitlines()
    assert lines[:2] == [f"{path} is not a registry:", f"  - {problem}"]
    assert error.hint == "tell those who publish it; registry.schema.json says what one holds"


@pytest.mark.parametrize("folder", ["../up", "/etc", "a/../../b", "-x", "a b", "a\\b"])
def test_a_source_does_not_leave_its_repository(tmp_path, folder):
    source = {"kind": "repository", "subdirectory": folder}
    error = refusal(read, written(tmp_path, content(hub_far=plugin(source=source))))
    assert "\n  - plugins.hub-far.source.subdirectory: " in error.message


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "file:///etc", "--index-url=x", "https://a b", "ssh://x"]
)
def test_a_source_is_an_https_address(tmp_path, url):
    source = {"kind": "repository", "url": url}
    error = refusal(read, written(tmp_path, content(hub_far=plugin(source=source))))
    assert "\n  - plugins.hub-far.source.url: " in error.message


def test_of_many_problems_ten_are_told(tmp_path):
    values = content(hub_far=plugin(*[method(name=f"m{i}", kind="?") for i in range(15)]))
    error = refusal(read, written(tmp_path, values))
    assert len(error.message.splitlines()) == 12
    assert error.message.endswith("\n  - and 5 more")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"format": NaN}', "NaN is no number of JSON"),
        (b"\xff\xfe", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_what_is_not_json_is_told(tmp_path, data, reason):
    path = tmp_path / "other.json"
    path.write_bytes(data)
    error = refusal(read, path)
    assert error.message == f"{path} is not JSON: {reason}"
    assert error.hint == "check that this is a registry.json"


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "other.json"
    path.write_text("[" * 200_000, "utf-8")
    assert refusal(read, path).message.startswith(f"{path} is not JSON: maximum recursion depth")
    shape = "{" + '"items":{' * 400 + "}" * 400 + "}"
    text = json.dumps(content(hub_far=plugin(method(options={"properties": {"r": "HERE"}}))))
    path.write_text(text.replace('"HERE"', shape), "utf-8")
    assert refusal(read, path).message.startswith(f"{path} is not a registry:\n  - plugins.hub-far")


def test_a_newer_format_is_refused_by_name(tmp_path):
    path = written(tmp_path, {"format": 2, "plugins": []})
    error = refusal(read, path)
    assert error.message == f"{path} has format 2, this hub-core reads up to 1"
    assert error.hint == "update hub-core"


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 2**20)
    path = tmp_path / "other.json"
    path.write_bytes(b" " * (2**20 + 1))
    error = refusal(read, path)
    assert error.message == f"{path} is larger than 1 MiB, the most that a registry may have"


def test_a_file_that_is_not_there_is_told(tmp_path):
    error = refusal(read, tmp_path / "no.json")
    assert error.message == f"there is no registry at {tmp_path / 'no.json'}"
    assert error.hint == "name a file or an https address"
    assert "cannot be read" in refusal(read, tmp_path).message


def test_every_letter_is_kept_and_half_a_letter_is_refused(tmp_path):
    found = read(written(tmp_path, content(hub_far=plugin(method(summary="Grüße 漢字 🎈")))))
    assert found.plugins["hub-far"].methods[0].summary == "Grüße 漢字 🎈"
    error = refusal(read, written(tmp_path, content(hub_far=plugin(method(summary="\ud800")))))
    assert "\n  - plugins.hub-far.methods[0].summary: " in error.message


def test_what_a_newer_registry_adds_is_left_out_and_provenance_cannot_be_claimed(tmp_path):
    path = written(tmp_path, content(hub_far=plugin(stars=5, provenance="x", _provenance="x")))
    assert read(path).plugins["hub-far"].provenance == str(path)


# -- addresses


@pytest.fixture
def server():
    pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, data = pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Say nothing."""

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", pages
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_registry_is_read_from_an_address(server):
    url, pages = server
    pages["/r.json"] = (200, {}, json.dumps(content()).encode())
    assert read(f"{url}/r.json").plugins["hub-far"].provenance == f"{url}/r.json"


def test_an_address_without_a_registry_is_told(server):
    url, _ = server
    error = refusal(read, f"{url}/no.json")
    assert error.message == f"{url}/no.json cannot be reached: the server answers 404"
    assert error.hint == "check the address and the network; a copy on disk works too"


def test_a_server_that_is_not_there_is_told(server):
    error = refusal(read, "http://127.0.0.1:1/r.json")
    assert error.message.startswith("http://127.0.0.1:1/r.json cannot be reached: ")


def test_a_download_stops_when_it_is_too_large(server, monkeypatch):
    url, pages = server
    monkeypatch.setattr(reading, "MAX_BYTES", 2**20)
    pages["/r.json"] = (200, {}, b" " * (3 * 2**20))
    message = refusal(read, f"{url}/r.json").message
    assert message == f"{url}/r.json is larger than 1 MiB, the most that a registry may have"


def test_a_redirection_does_not_leave_encryption(server):
    url, pages = server
    pages["/r.json"] = (302, {"Location": "http://example.org/r.json"}, b"")
    error = refusal(read, f"{url}/r.json")
    assert error.message == (
        "http://example.org/r.json is not encrypted, so anybody on the way could change it"
    )
    assert error.hint == "use https; plain http is for this machine"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/r", "http://example.org/r is not encrypted, so anybody on the way "
         "could change it"),
        ("ftp://example.org/r", "'ftp://example.org/r' is no address of a registry"),
        ("https://", "'https://' is no address of a registry"),
        ("https://[x/r", "'https://[x/r' is no address of a registry"),
        ("https://ann:secret@example.org/r",
         "the address of a registry at example.org holds a name or password"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_told(url, message):
    assert refusal(read, url).message == message


# -- pinning


def test_a_first_use_asks_and_records(tmp_path):
    path, asked = written(tmp_path), []
    digest = sha256(path.read_bytes()).hexdigest()
    add(path, ask=lambda question: not asked.append(question))
    assert asked == [
        f"{path} is used for the first time. It lists 1 plugin and has sha256 {digest}. Trust it?"
    ]
    assert remembered() == {str(path): digest}
    add(path, ask=no)  # is not asked again


def test_a_registry_that_is_not_accepted_leaves_nothing(tmp_path):
    path = written(tmp_path)
    error = refusal(add, path, ask=no)
    assert error.message == f"the registry {path} was not accepted"
    assert error.hint == "answer y, or give --yes to accept it unasked"
    assert remembered() == {}
    assert "hub-far" not in known().plugins
    assert not (notes.cache_folder() / "registries").exists()


def test_a_changed_registry_is_refused_with_both_hashes_until_it_is_accepted(tmp_path):
    path = written(tmp_path)
    before = sha256(path.read_bytes()).hexdigest()
    add(path, ask=yes)
    written(tmp_path, content(hub_far=plugin(version="2.0")))
    after = sha256(path.read_bytes()).hexdigest()
    error = refusal(add, path, ask=yes)
    assert error.message == (
        f"the registry {path} has changed: it has sha256 {after}, accepted was {before}"
    )
    assert error.hint == "look at what changed, then give --accept to take it as it is now"
    assert known().plugins["hub-far"].version == "1.0"  # what was accepted still counts
    add(path, ask=no, accept_changes=True)
    assert known().plugins["hub-far"].version == "2.0"


def test_what_was_accepted_is_known_later_without_its_place(tmp_path):
    path = written(tmp_path)
    add(path, ask=yes)
    path.unlink()
    assert known().plugins["hub-far"].provenance == str(path)
    ours = known().plugins["hub-basics"].provenance
    assert ours == f"hub-core {metadata.version('hub-core')}"
    forget(path)
    assert "hub-far" not in known().plugins
    error = refusal(forget, path)
    assert error.message == f"the registry {path} was never accepted here"
    assert error.hint == "accepted are: none"


def test_when_a_registry_was_first_used_is_kept_when_it_changes(tmp_path, monkeypatch):
    path = written(tmp_path)
    add(path, ask=yes)
    [one] = accepted()
    assert one == Accepted(str(path), remembered()[str(path)], one.since)
    assert date.fromisoformat(one.since) <= datetime.now(UTC).date()
    notes._write(pinned.DAYS, {str(path): "2026-03-01"})
    written(tmp_path, content(hub_far=plugin(version="2.0")))
    add(path, ask=no, accept_changes=True)
    assert accepted() == [Accepted(str(path), remembered()[str(path)], "2026-03-01")]
    (notes.cache_folder() / pinned.DAYS).unlink()
    assert [one.since for one in accepted()] == ["unknown"]


def test_the_command_lists_and_forgets(tmp_path, capsys):
    path, other = written(tmp_path), written(tmp_path, name="second.json")
    add(path, ask=yes)
    add(other, ask=yes)
    command = ["plugins", "registries"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == [asdict(one) for one in accepted()]
    assert [one["place"] for one in found] == [str(path), str(other)]
    assert main([*command, "--forget", str(path)]) == 0
    said = capsys.readouterr()
    assert said.err == f"{path} is forgotten; its next use is asked about again\n"
    lines = [line.split() for line in said.out.splitlines()]
    assert lines == [["registry", "sha256", "since"], [*asdict(accepted()[0]).values()]]
    assert [*remembered()] == [str(other)]
    assert main([*command, "--forget", str(other), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(command) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "", "No registry counts but the one that came with hub-core.\n"
    )  # fmt: skip


def test_a_registry_that_is_not_known_cannot_be_forgotten(tmp_path, capsys):
    path = written(tmp_path)
    add(path, ask=yes)
    url = "https://example.org/registry.json"
    assert main(["plugins", "registries", "--forget", url]) == 1
    assert capsys.readouterr().err == (
        f"Error: the registry {url} was never accepted here\nHint: accepted are: {path}\n"
    )


def test_a_registry_that_stays_because_nothing_can_be_written_is_told(tmp_path, monkeypatch):
    path = written(tmp_path)
    add(path, ask=yes)
    monkeypatch.setattr(notes, "_write", lambda name, memory: None)
    error = refusal(forget, path)
    assert error.message == (
        f"{notes.cache_folder() / 'registries.json'} cannot be written, so the registry {path} "
        "still counts"
    )
    assert error.hint == "make that file writable, or give HUB_CORE_CACHE another folder"


def test_a_damaged_or_lost_copy_is_told_and_not_used(tmp_path):
    path = written(tmp_path)
    digest = sha256(path.read_bytes()).hexdigest()
    add(path, ask=yes)
    [copy] = (notes.cache_folder() / "registries").iterdir()
    copy.write_text("{}", "utf-8")
    found = sha256(b"{}").hexdigest()
    assert known().clashes == (
        f"the copy of the registry {path} has sha256 {found}, accepted was {digest}; "
        f"give --registry {path} once more",
    )
    copy.unlink()
    assert known().clashes == (
        f"the copy of the registry {path} is gone; give --registry {path} once more",
    )
    assert "hub-far" not in known().plugins


def test_a_later_registry_does_not_replace_an_entry(tmp_path):
    path = written(tmp_path, content(hub_basics=plugin()))
    add(path, ask=yes)
    ours = f"hub-core {metadata.version('hub-core')}"
    assert known().plugins["hub-basics"].provenance == ours
    assert known().clashes == (f"{path} lists hub-basics too; the entry of {ours} counts",)
