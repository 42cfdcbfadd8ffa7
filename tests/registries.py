"""What registries of tests hold."""

import json

HASH = "0" * 64


def method(**more):
    return {"kind": "strategy", "name": "far-away", "summary": "From far away"} | more


def plugin(*methods, **more):
    source = {"kind": "repository", "url": "https://example.org/far", "subdirectory": "hub-far"}
    return {"version": "1.0", "source": source, "methods": list(methods or [method()])} | more


def content(**plugins):
    named = {
        name.replace("_", "-"): one for name, one in (plugins or {"hub_far": plugin()}).items()
    }
    return {"format": 1, "plugins": named}


def written(folder, values=None, name="other.json"):
    path = folder / name
    path.write_text(json.dumps(content() if values is None else values), "utf-8")
    return path


def yes(question):
    return True


def no(question):
    return False
