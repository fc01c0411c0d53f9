"""Pasted text: what people copy becomes chains and pairs, and what is no chain has its reason."""

import random
from time import process_time

import pytest
from antibodies import GLOBIN, HEAVY, KAPPA, TCR_BETA, back_translate, heavy_with, random_cdr3s

from hfbio.alphabet import RESIDUES
from hfbio.data import Fault
from hfbio.data.pasted import Pasted, read_pasted
from hfbio.errors import HfbioError, SettingError
from hfbio.numbering import Reason, check, number
from hfbio.record import AntibodyRecord, PairedRecord

LINKER = "GGGGS" * 3
LEADER = "MGWSCIILFLVATATGVHS"
TAG = "AAAHHHHHH"


def read(text, max_chars=50_000, max_chains=40):
    return read_pasted(text, max_chars=max_chars, max_chains=max_chains)


def wrapped(sequence, width=60):
    return "\n".join(sequence[i : i + width] for i in range(0, len(sequence), width))


def genbank(sequence):
    """The ORIGIN block of GenBank and GenPept: a count, then words of ten in lower case."""
    lines = []
    for i in range(0, len(sequence), 60):
        line = sequence[i : i + 60].lower()
        lines.append(f"{i + 1:>9} " + " ".join(line[j : j + 10] for j in range(0, 60, 10)).strip())
    return "\n".join(lines)


def uniprot(sequence):
    """Words of ten under a line of counts, as on UniProt's pages."""
    lines = []
    for i in range(0, len(sequence), 60):
        words = [sequence[i : i + 60][j : j + 10] for j in range(0, 60, 10)]
        counts = [str(i + 10 * (j + 1)).rjust(10) for j, word in enumerate(words) if word]
        lines += [" ".join(counts), " ".join(words).strip()]
    return "\n".join(lines)


def sequences(pasted):
    """Of each antibody, its chains."""
    return [tuple(chain.sequence_aa for chain in antibody.chains) for antibody in pasted.antibodies]


def the_reject(text):
    pasted = read(text)
    assert pasted.antibodies == ()
    (reject,) = pasted.rejects
    return reject


# --- one chain -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        HEAVY,
        HEAVY.lower(),
        f"\ufeff  {HEAVY}*\r\n\r\n",
        wrapped(HEAVY),
        wrapped(HEAVY).replace("\n", "\r\n"),
        wrapped(HEAVY, 10),
        wrapped(HEAVY, 7).replace("\n", "  \n\t"),
        genbank(HEAVY),
        uniprot(HEAVY),
        " ".join(HEAVY),
        "\u00a0".join((HEAVY[:50], HEAVY[50:])),  # the blank that word processors put
        f">name\n{wrapped(HEAVY)}\n",
        HEAVY.replace("GGG", "G--GG").replace("VS", "V.S"),  # cut out of an alignment
    ],
)
def test_a_chain_is_read_however_it_was_copied(text):
    pasted = read(text)
    assert sequences(pasted) == [(HEAVY,)]
    assert pasted.rejects == pasted.notes == ()
    (record,) = pasted.antibodies
    assert (record.locus, record.regions) == ("IGH", number(HEAVY).regions)


def test_what_stood_around_the_domain_is_told():
    pasted = read(f">ab\n{LEADER}{KAPPA}{TAG}")
    assert sequences(pasted) == [(KAPPA,)]
    assert pasted.notes == (
        "ab: residues 1-19, before the domain, are left out.",
        "ab: residues 127-135, behind the domain, are left out.",
    )


# --- several chains ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAVY}\n{KAPPA}",
        f"{HEAVY}\n\n{KAPPA}\n",
        f"{wrapped(HEAVY)}\n\n{wrapped(KAPPA)}",
        f"{wrapped(HEAVY)}\n{wrapped(KAPPA)}",  # 120 residues fill two lines; none is shorter
        f"{HEAVY}\n{wrapped(KAPPA)}",
        f"{wrapped(HEAVY)}\n{KAPPA}",
        f">h\n{wrapped(HEAVY)}\n>l\n{wrapped(KAPPA)}",
        f">both\n{HEAVY}\n{KAPPA}",
        f"{HEAVY}\n>l\n{KAPPA}",
    ],
)
def test_two_sequences_are_two_chains_and_no_pair(text):
    pasted = read(text)
    assert sequences(pasted) == [(HEAVY,), (KAPPA,)]
    assert all(isinstance(record, AntibodyRecord) for record in pasted.antibodies)
    assert pasted.rejects == ()
    assert len({record.sequence_id for record in pasted.antibodies}) == 2


def test_many_sequences_of_one_length_stay_apart():
    chains = [heavy_with(loop) for loop in random_cdr3s(20)]
    assert sequences(read("\n".join(chains))) == [(chain,) for chain in chains]


def test_a_sequence_that_is_no_antibody_takes_no_other_with_it():
    for text in (f"{HEAVY}\n{GLOBIN}", f"{GLOBIN}\n{HEAVY}", f">a\n{HEAVY}\n>b\n{GLOBIN}"):
        pasted = read(text)
        assert sequences(pasted) == [(HEAVY,)]
        assert [reject.reason for reject in pasted.rejects] == [Reason.NOT_ANTIBODY]


# --- pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAVY}:{KAPPA}",
        f"{HEAVY.lower()}* : {KAPPA}*",
        f">ab\n{wrapped(f'{HEAVY}:{KAPPA}')}",
        wrapped(f"{HEAVY}:{KAPPA}"),
        f"{KAPPA}:{HEAVY}",
        f"{LEADER}{HEAVY}:{KAPPA}{TAG}",
        f"{HEAVY}{LINKER}{KAPPA}",
        f"{KAPPA}{LINKER}{HEAVY}",
        wrapped(f"{LEADER}{HEAVY}{LINKER}{KAPPA}{TAG}"),
        wrapped(f"{HEAVY}{LINKER}{KAPPA}", 150),  # the first line has a domain alone
        f">scfv\n{genbank(KAPPA + LINKER + HEAVY)}",
    ],
)
def test_a_written_pair_and_a_single_chain_fv_are_pairs(text):
    (pair,) = read(text).antibodies
    assert isinstance(pair, PairedRecord)
    assert (pair.heavy.sequence_aa, pair.light.sequence_aa) == (HEAVY, KAPPA)
    assert (pair.heavy.locus, pair.light.locus) == ("IGH", "IGK")
    name = pair.sequence_id
    assert name
    assert pair.heavy.cell_id == pair.light.cell_id == name
    assert [chain.sequence_id for chain in pair.chains] == [f"{name}_heavy", f"{name}_light"]


def test_the_linker_and_the_order_are_told():
    assert read(f">s\n{KAPPA}{LINKER}{HEAVY}").notes == (
        "s: residues 108-122, between domains, are left out.",
        "s: one sequence with IGK and IGH, read as a pair.",
    )
    (note,) = read(f">s\n{KAPPA}:{HEAVY}").notes
    assert "light chain was written first" in note


def test_who_pairs_with_whom_is_not_guessed():
    pasted = read(f">t\n{LINKER.join([HEAVY, KAPPA, HEAVY, KAPPA])}")
    assert sequences(pasted) == [(HEAVY,), (KAPPA,), (HEAVY,), (KAPPA,)]
    assert [record.sequence_id for record in pasted.antibodies] == ["t", "t-2", "t-3", "t-4"]
    assert sequences(read(f"{HEAVY}{LINKER}{HEAVY}")) == [(HEAVY,), (HEAVY,)]


def test_a_cut_off_second_domain_is_told():
    pasted = read(f"{HEAVY}{LINKER}{KAPPA[:-5]}")
    assert sequences(pasted) == [(HEAVY,)]
    assert any("domain incomplete at its end" in note for note in pasted.notes)


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        (f"{HEAVY}:{HEAVY}", Fault.NOT_A_PAIR, "IGH and IGH"),
        (f"{KAPPA}:{KAPPA}", Fault.NOT_A_PAIR, "IGK and IGK"),
        (f"{HEAVY}:{KAPPA}:{KAPPA}", Fault.NOT_A_PAIR, "3 chains"),
        (f"{HEAVY}{LINKER}{KAPPA}:{KAPPA}", Fault.NOT_A_PAIR, "chain 1: 2 domains"),
        (f"{HEAVY}:", Fault.NO_SEQUENCE, "chain 2: empty"),
        (f"{HEAVY}:{GLOBIN}", Reason.NOT_ANTIBODY, "chain 2: "),
        (f"{HEAVY}:{KAPPA[:50]}7{KAPPA[50:]}", Reason.LETTERS, "chain 2: '7' at residue 51"),
    ],
)
def test_half_a_pair_is_no_pair(text, reason, detail):
    reject = the_reject(text)
    assert reject.reason == reason
    assert detail in reject.detail


# --- rejects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        (HEAVY.replace("GDG", "G\u0415G"), Reason.LETTERS, "CYRILLIC CAPITAL LETTER IE"),
        (HEAVY.replace("GDG", "G\u017fG"), Reason.LETTERS, "LATIN SMALL LETTER LONG S"),
        (HEAVY.replace("GDG", "G\0G"), Reason.LETTERS, "U+0000"),
        (HEAVY.replace("GDG", "G\u202eG"), Reason.LETTERS, "RIGHT-TO-LEFT OVERRIDE"),
        (HEAVY.replace("GDG", "G\u200bG"), Reason.LETTERS, "ZERO WIDTH SPACE"),
        (HEAVY.replace("GDG", "G\ud800G"), Reason.LETTERS, "U+D800"),
        (HEAVY.replace("GDG", "G7G"), Reason.LETTERS, "'7'"),
        (HEAVY.replace("GDG", "G<G"), Reason.LETTERS, "'<'"),
        (HEAVY.replace("GDG", "G*G"), Fault.STOP_CODON, ""),
        (HEAVY.replace("GDG", "GXG"), Fault.AMBIGUOUS, "X"),
    ],
)
@pytest.mark.parametrize("form", [str, wrapped])
def test_a_letter_that_is_no_residue_is_named_with_its_place(text, reason, detail, form):
    reject = the_reject(f">bad\n{form(text)}")
    assert (reject.sequence_id, reject.line, reject.reason) == ("bad", 1, reason)
    assert detail in reject.detail
    assert "residue 102" in reject.detail or reject.reason == Fault.STOP_CODON
    assert reject.detail.isprintable()
    assert the_reject(form(text)).reason == reason  # bare too, and one reject for all its lines


def test_each_kind_of_fault_has_its_reason():
    assert the_reject(">a\n").reason == Fault.NO_SEQUENCE
    assert the_reject(TCR_BETA).reason == Reason.T_CELL_RECEPTOR
    assert the_reject(wrapped(TCR_BETA)).reason == Reason.T_CELL_RECEPTOR
    assert the_reject(wrapped(HEAVY[:-8])).reason == Reason.END
    assert the_reject("A" * 11_000 + "C").reason == Reason.NOT_ANTIBODY
    assert "nucleotides" in the_reject(back_translate(HEAVY)).detail


def test_nothing_pasted_is_nothing_read():
    for text in ("", " \n\t\r\n", "\ufeff", "10 20 30\n"):
        assert read(text) == Pasted((), (), ())


# --- names ---------------------------------------------------------------------------------------


def names(*headers):
    text = "".join(f">{header}\n{HEAVY}\n" for header in headers)
    return [record.sequence_id for record in read(text).antibodies]


def test_names_are_the_first_words_and_unique():
    assert names("a heavy", "a", "b", "a", "a-2") == ["a", "a-2", "b", "a-3", "a-2-2"]
    assert names("", "x", " ") == ["pasted-1", "x", "pasted-3"]
    assert names("pasted-2", "") == ["pasted-2", "pasted-2-2"]


def test_names_hold_no_control_characters_and_have_an_end():
    assert names("a\u202eb\u200b\x07c") == ["abc"]
    assert names("\u202e\x07") == ["pasted-1"]
    long = names("n" * 500, "n" * 500)
    assert long == ["n" * 80, "n" * 78 + "-2"]


def test_a_name_with_markup_stays_text():
    assert names("<script>alert(1)</script>") == ["<script>alert(1)</script>"]


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("A" * 10_000_000, r"10,000,000 characters .* at most 2,000,000"),
        (f">a\n{HEAVY}\n" * 10_000, r"10,000 chains .* at most 20"),
        (f"{HEAVY}\n" * 10_000, r"at least 21 chains .* at most 20"),
        (f"{HEAVY}\n{KAPPA}\n" * 5_000, r"at least 21 chains .* at most 20"),
        ("A\n" * 100_000, r"at least 21 chains .* at most 20"),
        (">\n" * 100_000, r"100,000 chains .* at most 20"),
        (f"{HEAVY}:{KAPPA}\n\n" * 11, r"at least 22 chains .* at most 20"),
        ("A\n\n" * 100_000 + "A" + "1" * 500_000 + "A", r"at least 21 chains .* at most 20"),
        (":" * 100_000, r"at least 100,001 chains .* at most 20"),
    ],
)
def test_too_much_is_refused_at_once_with_both_numbers(text, match):
    start = process_time()
    with pytest.raises(SettingError, match=match):
        read(text, max_chars=2_000_000, max_chains=20)
    # Numbering 10,000 chains takes 2 s and more; an idle core refuses in 0.03 s.
    assert process_time() - start < 0.5


def test_domains_of_one_sequence_count_as_chains():
    text = LINKER.join([HEAVY, KAPPA] * 3)
    assert len(read(text, max_chains=6).antibodies) == 6
    with pytest.raises(SettingError, match="6 chains were pasted; at most 5"):
        read(text, max_chains=5)


def test_a_long_run_of_anything_is_read_in_no_time():
    start = process_time()
    for letter in "1A*:>.X\u202e":
        read(f"A{letter * 40_000}A", max_chars=50_000, max_chains=50_000)
    # 0.02 s on an idle core; a pattern that looks at each digit anew takes 9 s (measured).
    assert process_time() - start < 1


def test_a_text_just_within_the_limits_is_read():
    text = f"{HEAVY}\n{HEAVY}:{KAPPA}"
    assert len(read(text, max_chars=len(text), max_chains=3).antibodies) == 2


# --- whatever comes ------------------------------------------------------------------------------

PIECES = [
    *("\n", "\n\n", "\r\n", ">", ">name ", ":", "*", " ", "\t", "-", "1 ", "61", "\0", "\u202e"),
    *("\u0415", "\ud800", "<b>", "\u2028", "\x1c", "\ufeff", "\U0001f600", "é", "ß", "X", LINKER),
    *(HEAVY, KAPPA, HEAVY.lower(), GLOBIN, TCR_BETA, KAPPA[:-5], HEAVY[30:], HEAVY[:60]),
    *(wrapped(HEAVY), genbank(KAPPA), HEAVY + LINKER + KAPPA, f"{HEAVY}:{KAPPA}"),
]


def test_no_text_crashes_and_what_is_kept_was_pasted():
    rng = random.Random(0)
    n_kept = n_rejected = n_refused = 0
    for _ in range(400):
        parts = rng.choices(PIECES, k=rng.randint(1, 30))
        if rng.random() < 0.3:
            parts.insert(0, "".join(map(chr, rng.choices(range(0x3000), k=20))))
        text = "".join(parts)
        try:
            pasted = read(text, max_chars=1_500, max_chains=6)
        except HfbioError:
            n_refused += 1
            continue
        letters = "".join(c for c in text.upper() if c in RESIDUES)
        ids = [antibody.sequence_id for antibody in pasted.antibodies]
        ids += [reject.sequence_id for reject in pasted.rejects]
        assert len(ids) == len(set(ids))
        assert all(id_.isprintable() and 0 < len(id_) <= 80 for id_ in ids)
        for antibody in pasted.antibodies:
            for chain in antibody.chains:
                assert chain.sequence_aa in letters
                assert check(chain.sequence_aa).regions == chain.regions
        n_kept += len(pasted.antibodies)
        n_rejected += len(pasted.rejects)
    assert min(n_kept, n_rejected, n_refused) > 20


def test_every_record_is_kept_or_rejected():
    rng = random.Random(1)
    good = [HEAVY, KAPPA, wrapped(HEAVY), f"{HEAVY}:{KAPPA}", HEAVY + LINKER + KAPPA]
    bad = [GLOBIN, TCR_BETA, "", "ACD", HEAVY.replace("GDG", "GJG"), f"{HEAVY}:{HEAVY}", "<b>"]
    for _ in range(50):
        bodies = [rng.choice(good + bad) for _ in range(rng.randint(1, 12))]
        pasted = read("".join(f">r{i} x\n{body}\n" for i, body in enumerate(bodies)))
        kept = [f"r{i}" for i, body in enumerate(bodies) if body in good]
        rejected = [f"r{i}" for i, body in enumerate(bodies) if body in bad]
        assert [antibody.sequence_id for antibody in pasted.antibodies] == kept
        assert [reject.sequence_id for reject in pasted.rejects] == rejected


def test_the_chains_of_a_pair_have_names_of_their_own():
    text = f">a\n{HEAVY}:{KAPPA}\n>a_heavy\n{HEAVY}\n>{'b' * 90}\n{HEAVY}:{KAPPA}\n"
    pasted = read_pasted(text, max_chars=10_000, max_chains=20)
    names = [chain.sequence_id for one in pasted.antibodies for chain in one.chains]
    assert names[:3] == ["a_heavy", "a_light", "a_heavy-2"]
    assert len(set(names)) == len(names) == 5
    assert max(map(len, names)) <= 80
