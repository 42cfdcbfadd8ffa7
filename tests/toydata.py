"""Tiny data that toys can learn, and recipes over it."""

import random

GOOD, BAD = ["fine", "good", "warm", "sweet"], ["dull", "cold", "bad", "sour"]
OTHER = ["film", "day", "the", "a", "very", "this", "was", "it"]


def labelled(count=96, seed=0):
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        words = chance.choices(OTHER, k=chance.randint(2, 6))
        words.append(chance.choice((GOOD, BAD)[number % 2]))
        chance.shuffle(words)
        rows.append({"text": " ".join(words), "label": ("good", "bad")[number % 2]})
    return rows


def topics(count=96, seed=1):
    return [
        {"text": row["text"], "label": ("film", "day", "none")[min(
            ["film" in row["text"], "day" in row["text"], True].index(True), 2)]}
        for row in labelled(count, seed)
    ]  # fmt: skip


def several(count=96, seed=5):
    """Up to three labels for each text; about one in ten has none."""
    topics = {"mood": GOOD, "place": ["film"], "time": ["day"]}
    return [
        {"text": row["text"],
         "labels": [name for name, words in topics.items()
                    if any(word in row["text"].split() for word in words)]}
        for row in labelled(count, seed)
    ]  # fmt: skip


def scored(count=96, seed=2):
    return [
        {"text": row["text"], "score": (2.0 if row["label"] == "good" else -1.0) + index % 3 / 10}
        for index, row in enumerate(labelled(count, seed))
    ]


def tagged(count=96, seed=3):
    return [
        {"tokens": row["text"].split(),
         "tags": ["mood" if word in GOOD + BAD else "o" for word in row["text"].split()]}
        for row in labelled(count, seed)
    ]  # fmt: skip


def continued(count=96, seed=4):
    chance = random.Random(seed)
    letters = "ABCDE"
    rows = []
    for _ in range(count):
        first = chance.choice(letters)
        rows.append({"text": f"{first} {first}", "answer": f"{first} {first}"})
    return rows


DATA = {
    "classification": labelled,
    "attention-classification": labelled,
    "multi-label": several,
    "regression": scored,
    "toy-tags": tagged,
    "toy-generate": continued,
}


def recipe(
    *, backbone="toy-encoder", head="classification", strategies=(), compressors=(), **training
):
    return {
        "backbone": backbone,
        "tasks": {"main": {"head": head}},
        "strategies": list(strategies),
        "compressors": list(compressors),
        "training": {
            "epochs": 2,
            "precision": "fp32",
            "threads": 1,
            "seed": 5,
            "batch_examples": 8,
            **training,
        },
    }
