"""What data, settings and tags say is shown in a card, and never acted upon."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest
import yaml
from carded import MANIFEST, REPO, metrics, write_bundle
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from hfbio.bundle import WITHHELD, public_settings
from hfbio.card import Example, licences, write_card
from hfbio.card.details import settings
from hfbio.card.markdown import code, fence, text
from hfbio.tokens import Tags

HOSTILE = (
    "x | <script>alert(1)</script> &lt; `b` **c** _d_ [e](http://f.gg) ![g](h) www.i.jj $k$ "
    "\\ ~~l~~ m@n.oo\n---\nlicense: mit\n\n# p\n- q\n1. r\n> s\n```\n<!-- t"
)
SEEN = " ".join(HOSTILE.split())
TAG = "_Ig_ G (http://f.gg) 1. www.i.jj"  # signs that a tag may hold
EXAMPLE = Example("print(1)\n", "```\n# not a heading\n")


class Page(HTMLParser):
    """Elements, attributes and visible text, as a browser sees a card."""

    def __init__(self, readme):
        super().__init__()
        self.elements, self.attributes, self.text = [], [], ""
        body = readme.split("---\n", 2)[2]
        markdown = MarkdownIt("commonmark", {"html": True, "linkify": False})
        self.feed(markdown.enable(["table", "strikethrough"]).render(body))

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def page_of(folder, manifest, content):
    write_bundle(folder, manifest, content)
    write_card(folder, REPO, example=EXAMPLE)
    return (folder / "README.md").read_text(encoding="utf-8")


def without_code(card):
    body = card.split("---\n", 2)[2]
    return re.sub(r"^(`{3,}).*?^\1$", "", body, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """The card of a decent bundle, and of one whose every text is hostile."""
    hostile = dataclasses.replace(
        MANIFEST,
        base=HOSTILE.replace("/", "").replace("\\", "")[:250],
        tags=Tags("composite", {"locus": ("IGH",), "isotype": (TAG,)}, (("IGH", TAG),)),
        lengths={f"IGH|{TAG}": {"120": 1096}},
        data={**MANIFEST.data, "source": HOSTILE, "license": HOSTILE},
        training={"seed": HOSTILE, "settings": {HOSTILE: HOSTILE, "other": [HOSTILE]}},
    )
    content = metrics(left_out={HOSTILE: 3})
    content["split"] = {**content["split"], "by": HOSTILE, "digest": HOSTILE}
    content["run"] = {**content["run"], "hardware": HOSTILE}
    content["designs"] = {
        **content["designs"],
        "faults": {HOSTILE: 1},
        "sampler": {"kind": "x", HOSTILE: HOSTILE},
    }
    folder = tmp_path_factory.mktemp("cards")
    decent = dataclasses.replace(MANIFEST, base="my base")
    return page_of(folder / "a", decent, metrics()), page_of(folder / "b", hostile, content)


def test_hostile_text_is_shown_and_makes_no_element(cards):
    decent, hostile = map(Page, cards)
    assert hostile.text.count(SEEN) >= 10  # in prose, lists, tables and summaries
    shapes = ("script", "b", "a", "img", "h1", "h2", "h3", "em", "strong", "s", "hr", "ol", "pre")
    for shape in (*shapes, "blockquote", "table", "ul"):
        assert hostile.elements.count(shape) == decent.elements.count(shape), shape
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]
    # Bare links and mentions, which the Hub makes of plain text.
    body = without_code(cards[1])
    assert "http://f" not in body
    assert "www.i" not in body
    assert "m@n" not in body


def test_every_table_keeps_its_columns(cards):
    for card in cards:
        for table in re.findall(r"(?:^\|.*\n)+", without_code(card), flags=re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_hostile_text_adds_nothing_to_the_front_matter(cards):
    decent, hostile = (ModelCard(card).data for card in cards)
    assert hostile.to_dict().keys() == decent.to_dict().keys()
    assert hostile.license == "other"
    assert re.fullmatch(r"base-mit-data-[a-z0-9.+-]+", hostile.license_name)
    assert hostile.eval_results[0].dataset_name.startswith("x | <script>")  # as text


def test_hostile_text_stays_within_the_citation(cards, tmp_path):
    odd = dataclasses.replace(MANIFEST, base="a}, note={b: c}\nauthors: d")
    write_bundle(tmp_path, odd)
    write_card(tmp_path, REPO, example=None)
    bibtex = (tmp_path / "README.md").read_text().partition("```bibtex\n")[2].partition("```")[0]
    assert bibtex.count("{") == bibtex.count("}")
    assert "note={" not in bibtex
    assert len(yaml.safe_load((tmp_path / "CITATION.cff").read_text())["authors"]) == 1


@pytest.mark.parametrize("value", ["", "a_b", "_a_", "a__b_", "*", "0.5", "<", "a  b\t", "é…", 7])
def test_escaped_text_reads_as_it_was(value):
    rendered = MarkdownIt("commonmark").enable("table").renderInline(f"x{text(value)}x")
    seen = Page("---\n---\n")
    seen.feed(rendered)
    assert "em" not in seen.elements
    assert seen.text.replace("\xa0", " ") == f"x{' '.join(str(value).split(' '))}x".replace(
        "  ", " "
    ).replace("\t", " ")
    assert text(text(value)) == text(value)


def test_a_code_block_cannot_be_closed_from_within():
    assert fence("a\n````\nb\x1b[0m") == "`````\na\n````\nb [0m\n`````"
    assert code("`|`") == "<code>&#96;&#124;&#96;</code>"


def test_long_text_is_cut():
    assert len(text("x" * 10_000)) == 300


@pytest.mark.parametrize(
    "value",
    [
        *("/home/alice/ds.json", "~/ds.json", "../ds.json", "C:\\Users\\alice", "file:///alice"),
        *({"config": "/home/alice"}, ["./alice"], "x=/alice", "hf_abcdefghijklmnop"),
        *("https://alice:secret@hub.corp", "alice/ds.json", "alice.json", r"\\nas\alice"),
        *({"/home/alice": 1}, {"a": [{"b": "c:/alice"}]}),
    ],
)
def test_places_and_keys_of_who_trained_are_withheld(value):
    given = {"deepspeed": value, "lora_target_modules": r".*encoder\.layer\..*(query|key)"}
    shown = settings(dataclasses.replace(MANIFEST, training={"settings": given}))
    assert WITHHELD in shown["deepspeed"]
    assert "alice" not in shown["deepspeed"]
    assert "hf_" not in shown["deepspeed"]
    assert public_settings(public_settings(given)) == public_settings(given)
    assert shown["lora_target_modules"] == given["lora_target_modules"]  # a regex is no path


# --- licences ----------------------------------------------------------------------------------


def of(base, data, given=None):
    manifest = dataclasses.replace(MANIFEST, base_license=base, data={"license": data})
    return licences(manifest, given)


@pytest.mark.parametrize(
    ("base", "data", "given", "card", "name"),
    [
        ("MIT", "MIT", None, "mit", None),
        ("MIT", "AGPL-3.0", None, "other", "base-mit-data-agpl-3.0"),
        ("GPL-3.0-only", "GPL-3.0-or-later", None, "gpl-3.0", None),
        ("CC-BY-4.0", "CC BY 4.0", None, "cc-by-4.0", None),
        ("Apache-2.0", "unknown", None, "other", "base-apache-2.0-data-unknown"),
        ("", "unknown", None, "unknown", None),
        ("", "MIT", None, "other", "base-unknown-data-mit"),
        ("Cambrian Open", "cambrian-open", None, "other", "cambrian-open"),
        ("MIT", "AGPL-3.0", "CC-BY-4.0", "cc-by-4.0", None),
        ("MIT", "MIT", "My Terms (v2)", "other", "my-terms-v2"),
        ("MIT", None, None, "other", "base-mit-data-unknown"),
        ("ODbL-1.0", "ODbL-1.0", None, "odbl", None),
    ],
)
def test_the_licence_of_a_card_follows_from_base_and_data(base, data, given, card, name):
    found = of(base, data, given)
    assert (found.card, found.card_name) == (card, name)


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        *((x, True) for x in ("CC-BY-NC-4.0", "cc-by-nc-sa-4.0", "CC BY-NC 4.0")),
        *((x, True) for x in ("cambrian-non-commercial", "PolyForm-Noncommercial-1.0.0")),
        *((x, True) for x in ("JHU Academic", "Johns Hopkins University license")),
        *((x, True) for x in ("academic use only", "research-only", "MIT AND CC-BY-NC-4.0")),
        *((x, False) for x in ("MIT", "AGPL-3.0", "cc-by-4.0", "CC-BY-ND-4.0", "NCSA", "")),
        *((x, False) for x in ("cambrian-open", "Academic Free License", "unknown")),
        ("MIT OR CC-BY-NC-4.0", False),
    ],
)
def test_parts_that_are_not_for_commerce_are_named(licence, refused, tmp_path):
    assert of(licence, "MIT").non_commercial == (("base",) if refused else ())
    assert of("MIT", licence).non_commercial == (("data",) if refused else ())
    assert of(licence, licence).non_commercial == (("base", "data") if refused else ())


def test_a_card_says_that_it_is_not_for_commerce(tmp_path):
    card = page_of(tmp_path, dataclasses.replace(MANIFEST, base_license="cc-by-nc-4.0"), metrics())
    assert "**Not for commercial use**: the licence of the base forbids it." in card
