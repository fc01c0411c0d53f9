"""Each number of a card is one of metrics.json or hfbio.json, rounded; a wrong one is found."""

import copy
import re
from functools import reduce
from operator import getitem

import pytest
from carded import MANIFEST, REPO, metrics, write_bundle

from hfbio.card import Example, write_card
from hfbio.models.catalogue import find
from hfbio.report.text import LABELS, cell_name

# A number that is not part of a name, a version or a digest.
NUMBER = re.compile(r"(?<![\w.#`-])[-+−]?\d[\d,]*(?:\.\d+)?(?![\w`]|\.\d)")
FINDINGS = ("- **Unclear", "- **Worse", "- **Half", "- **Something")  # see test_card.py


def numbers(text):
    """(value, half a unit of its last digit, place) of each number in a text."""
    found = []
    for match in NUMBER.finditer(re.sub(r"(?<=<code>).*?(?=</code>)", _blank, text)):
        digits = match[0].replace("−", "-").rstrip(",").replace(",", "")
        found.append((float(digits), 0.5001 * 10 ** -len(digits.partition(".")[2]), match.span()))
    return found


def _blank(found):
    is_number = re.fullmatch(r"[\d.]+", found[0])
    return found[0] if is_number else " " * len(found[0])


def nats(row, name):
    return row[name]["nats_per_residue"]


def gap(row):
    if "difference" not in row:
        return []
    return [row["difference"][key] for key in ("nats_per_residue", "low", "high")]


def whole(content):
    return [row for row in content["held_out"] if row["region"] == row["status"] == "all"]


def tables(content, manifest):
    """(header, rows of numbers) of each table, in the order of the card."""
    split, panel = content["split"], content["designs"]
    counting = ("position", "position_family")
    yield (
        "| hidden | base |",
        [
            [
                *(100 * row["masked"], nats(row, "base"), nats(row, "tuned"), *gap(row)),
                *(nats(row, "base_calibrated"), min(nats(row, name) for name in counting)),
            ]
            for row in whole(content)
        ],
    )
    for masked in (row["masked"] for row in whole(content)):
        yield (
            "| residues | hidden |",
            [
                [row["residues"], *(nats(row, name) for name in LABELS), *gap(row)]
                for row in content["held_out"]
                if row["masked"] == masked
            ],
        )
    keys = ("drawn", "valid", "unique", "novel", "median_nearest_identity")
    yield "| drawn |", [[panel[key] for key in keys]]
    lengths = [(sum(c.values()), [int(n) for n in c]) for c in manifest.lengths.values()]
    ordered = sorted(lengths, key=lambda pair: -pair[0])
    yield "| locus | species |", [[n, min(seen), max(seen)] for n, seen in ordered]
    yield "| part | chains |", [[n, split["n_groups"][p]] for p, n in split["n_rows"].items()]
    yield "| setting |", [[value] for value in manifest.training["settings"].values()]
    yield "| part | licence |", [[], [], []]


def paragraphs(content, manifest):
    """Start -> numbers of each paragraph, list item or figure that has some."""
    split, training, panel = content["split"], content["training"], content["designs"]
    leak, sampler = split["leak"], panel["sampler"]
    (half,) = (row for row in whole(content) if row["masked"] == 0.5)
    gaps = [row["difference"] for row in content["held_out"] if "difference" in row]
    base = find(manifest.base)
    cited = [value for value, _, _ in numbers(base.citation)]
    lengths = [int(n) for counts in manifest.lengths.values() for n in counts]
    n_train = manifest.data["train"]
    return {
        "A LoRA adapter": [n_train],
        "With 50": [
            *(50, nats(half, "tuned"), nats(half, "base"), content["chance_nats"]),
            *(panel["drawn"], panel["valid"]),
        ],
        "Nats per hidden": [content["chains"], content["clones"]],
        "![Bars": [50, nats(half, "base"), nats(half, "tuned")],
        "- **Better": [sum(gap["high"] < 0 for gap in gaps), len(gaps), 0],
        "<details><summary>Every": [100 * row["masked"] for row in whole(content)],
        "*Germline*": [2000],  # score.compare
        "What it writes": [panel["seed"], *(v for v in sampler.values() if type(v) is not str)],
        "Not valid": list(panel["faults"].values()),
        "The base <code>": [base.parameters, *cited],
        "1,096 training": [n_train, min(lengths), max(lengths)],
        "Split by": [
            *(split["seed"], *(100 * x for x in split["fractions"]), split["largest_group"]),
            *(leak["n_test"], 100 * leak["identical_sequence"], 100 * leak["identical_cdr3"]),
            *(leak["n_compared"], 100 * leak["near_sequence"], 95),  # data.leak.NEAR
            *(5, 142),  # left out: 5 over 142
        ],
        "1,250 steps": [
            *(training["steps"], training["seconds"], 2, content["run"]["processes"]),  # 2 cores
            *(manifest.training["seed"], content["run"]["trainable_parameters"]),
        ],
        "![Training": [training["steps"]],
        "<details><summary>Settings": [len(manifest.training["settings"])],
        "- **Narrow": [n_train, split["n_groups"]["train"], content["chains"]],
        "The base: ": cited,
    }


def parts(card):
    """Tables, list items and paragraphs of a card's body, each with its lines; no code."""
    body = re.sub(r"^```.*?^```", "", card.split("---\n", 2)[2], flags=re.M | re.S)
    body = re.sub(r"\n(?=- |<details)", "\n\n", body)
    return [part.splitlines() for part in re.split(r"\n{2,}", body.strip())]


def wrong_numbers(card, content, manifest=MANIFEST):
    """What is wrong with the numbers of a card: others than expected, too many, too few."""
    wrong = []

    def compare(line, expected):
        found = numbers(line.partition("](figures")[0])
        if len(found) != len(expected) or any(
            abs(value - truth) > half for (value, half, _), truth in zip(found, expected)
        ):
            wrong.append(f"{line}: {[value for value, _, _ in found]} is not {expected}")

    known_tables, known = tables(content, manifest), paragraphs(content, manifest)
    summaries = iter(known.pop("<details><summary>Every"))
    for lines in parts(card):
        start = lines[0]
        if start.startswith("| "):
            header, rows = next(known_tables)
            if not start.startswith(header) or len(rows) != len(lines) - 2:
                wrong.append(f"{start}: {len(rows)} rows of {header} were expected")
            compare(start, [95] * ("[95" in start))
            for line, expected in zip(lines[2:], rows):
                compare(line, expected)
        elif start.startswith("<details><summary>Every"):
            compare(start, [next(summaries)])
        elif not start.startswith((*FINDINGS, "Made with")):
            found = [prefix for prefix in known if start.startswith(prefix)]
            compare(" ".join(lines), known.pop(found[0]) if found else [])
    wrong += [f"the table {header} is missing" for header, _ in known_tables]
    return wrong + [f"nothing starts with {prefix!r}" for prefix in known]


def readme(folder, content):
    write_bundle(folder, MANIFEST, content)
    write_card(folder, REPO, example=Example("import hfbio\n", "7.77\n"))
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return readme(tmp_path_factory.mktemp("card"), metrics())


def test_every_number_of_a_card_has_its_source(shown):
    assert wrong_numbers(shown, metrics()) == []
    rows = metrics()["held_out"]
    assert len(rows) == 33  # 8 regions and 3 kinds of residues at 3 shares: none is left out
    assert all(f"| {cell_name(row)} |" in shown for row in rows)


def test_any_other_digit_is_found(shown):
    """Change the last digit of each number in turn: the check above must see every one."""
    tried, place = 0, 0
    prose = [line for part in parts(shown) for line in part]
    for line in shown.splitlines(keepends=True):
        if line.rstrip() in prose and not line.startswith((*FINDINGS, "Made with")):
            for _, _, (_, stop) in numbers(line.partition("](figures")[0]):
                at = place + stop - 1
                at -= shown[at] == ","
                spoilt = shown[:at] + str((int(shown[at]) + 5) % 10) + shown[at + 1 :]
                assert wrong_numbers(spoilt, metrics()), line
                tried += 1
        place += len(line)
    assert tried > 350


@pytest.mark.parametrize(
    "path",
    [
        ("held_out", 11, "tuned", "nats_per_residue"),
        ("held_out", 12, "difference", "low"),
        ("split", "leak", "near_sequence"),
    ],
)
def test_the_card_of_other_metrics_is_found(tmp_path, path):
    other = copy.deepcopy(metrics())
    place = reduce(getitem, path[:-1], other)
    place[path[-1]] *= 1.37
    card = readme(tmp_path, other)
    assert wrong_numbers(card, other) == []
    assert wrong_numbers(card, metrics())
