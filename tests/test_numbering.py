"""Numbering: what a domain is, where its regions are, and why something is refused."""

import random
from itertools import pairwise
from time import process_time

import immunum
import pytest

from hfbio.alphabet import RESIDUES
from hfbio.errors import SequenceError
from hfbio.numbering import (
    Numbered,
    Reason,
    Refusal,
    check,
    domains,
    is_domain,
    nearest_germline,
    number,
)
from hfbio.numbering.scheme import REGION_FIRST
from hfbio.record import REGIONS

# Trastuzumab (Carter et al. 1992; sequence of PDB 1N8Z) with IMGT regions as in IMGT/mAb-DB.
VH = (
    "EVQLVESGGGLVQPGGSLRLSCAAS GFNIKDTY IHWVRQAPGKGLEWVAR IYPTNGYT "
    "RYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC SRWGGDGFYAMDY WGQGTLVTVSS"
)
VK = (
    "DIQMTQSPSSLSASVGDRVTITCRAS QDVNTA VAWYQQKPGKAPKLLIY SAS "
    "FLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYC QQHYTTPPT FGQGTKVEIK"
)
HEAVY, KAPPA = VH.replace(" ", ""), VK.replace(" ", "")
# Avelumab VL (lambda; WHO INN 7889 list).
LAMBDA = (
    "QSALTQPASVSGSPGQSITISCTGTSSDVGGYNYVSWYQQHPGKAPKLMIYDVSNRPSGVSNRFSGSKSGNTASLTISGLQAEDEADYYC"
    "SSYTSSSTRVFGTGTKVTVL"
)
# A6 T-cell receptor (PDB 1AO7), human haemoglobin alpha (UniProt P69905), myoglobin (P02185).
TCR_ALPHA = (
    "KEVEQNSGPLSVPEGAIASLNCTYSDRGSQSFFWYRQYSGKSPELIMSIYSNGDKEDGRFTAQLNKASQYVSLLIRDSQPSDSATYLC"
    "AVTTDSWGKLQFGAGTQVVVTP"
)
TCR_BETA = (
    "NAGVTQTPKFQVLKTGQSMTLQCAQDMNHEYMSWYRQDPGMGLRLIHYSVGAGITDQGEVPNGYNVSRSTTEDFPLRLLSAAPSQTSVYFC"
    "ASRPGLAGGRPEQYFGPGTRLTVTE"
)
GLOBIN = (
    "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHKLR"
    "VDPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR"
)
MYOGLOBIN = (
    "MVLSEGEWQLVLHVWAKVEADVAGHGQDILIRLFKSHPETLEKFDRFKHLKTEAEMKASEDLKKHGVTVLTALGAILKKKGHHEAELKPLAQSH"
    "ATKHKIPIKYLEFISEAIIHVLHSRHPGDFGADAQGAMNKALELFRKDIAAKYKELGYQG"
)


def refusal(sequence, **options):
    result = check(sequence, **options)
    assert isinstance(result, Refusal), result
    return result


@pytest.mark.parametrize(("spaced", "locus"), [(VH, "IGH"), (VK, "IGK")])
def test_regions_are_those_of_imgt(spaced, locus):
    sequence = spaced.replace(" ", "")
    found = number(sequence)
    assert found.locus == locus
    assert [sequence[a:b] for a, b in pairwise(found.regions)] == spaced.split()


def test_the_region_table_is_the_one_of_the_numbering_program():
    for chain in "HKL":
        table = immunum.regions_for("imgt", chain)
        assert tuple(first for first, _ in table.values()) == REGION_FIRST
        assert len(table) == len(REGIONS)


def test_positions_name_the_conserved_residues_of_each_locus():
    for sequence in (HEAVY, KAPPA, LAMBDA):
        found = number(sequence)
        letters = dict(zip(found.positions, sequence, strict=True))
        assert letters[23, ""] + letters[41, ""] + letters[104, ""] == "CWC"


def test_insertions_of_a_long_cdr3_have_letters_and_keep_their_order():
    long = HEAVY.replace("SRWGGDGFYAMDY", "SRWGGDGAAAAAAFYAMDY")
    found = number(long)
    numbers = [n for n, _ in found.positions]
    assert numbers == sorted(numbers)
    assert len(set(found.positions)) == len(long)
    assert any(letter for _, letter in found.positions)


def test_a_leader_and_a_constant_region_are_outside_the_domain():
    leader = "MGWSCIILFLVATATGVHS"
    constant = (  # CH1, hinge and CH2 of human IgG1 (UniProt P01857), themselves Ig domains
        "ASTKGPSVFPLAPSSKSTSGGTAALGCLVKDYFPEPVTVSWNSGALTSGVHTFPAVLQSSGLYSLSSVVTVPSSSLGTQTYICNVNHKPSNTKVDKKVEP"
        "KSCDKTHTCPPCPAPELLGGPSVFLFPPKPKDTLMISRTPEVTCVVVDVSHEDPEVKFNWYVDGVEVHNAKTKPREEQYNSTYRVVSVLTVLHQDWLNGK"
    )
    found = number(leader + HEAVY + constant)
    assert (found.start, found.stop) == (len(leader), len(leader) + len(HEAVY))
    assert found.regions == number(HEAVY).regions  # cut points count from the domain's start


@pytest.mark.parametrize(("sequence", "name"), [(TCR_ALPHA, "TRA"), (TCR_BETA, "TRB")])
def test_a_t_cell_receptor_is_refused_by_name(sequence, name):
    found = refusal(sequence)
    assert found.reason is Reason.T_CELL_RECEPTOR
    assert found.detail.startswith(name)


@pytest.mark.parametrize("sequence", [GLOBIN, MYOGLOBIN, "A" * 120, "ACD"])
def test_other_proteins_are_not_antibodies(sequence):
    assert refusal(sequence).reason is Reason.NOT_ANTIBODY


def test_random_and_shuffled_proteins_are_never_accepted():
    # immunum alone accepts 29 of 200 random proteins.
    rng = random.Random(0)
    proteins = ["".join(rng.choices(RESIDUES, k=rng.randint(90, 300))) for _ in range(300)]
    proteins += ["".join(rng.sample(HEAVY, len(HEAVY))) for _ in range(300)]
    assert not [p for p in proteins if isinstance(check(p), Numbered)]


@pytest.mark.parametrize("position", [23, 41, 104])
def test_a_domain_without_a_conserved_residue_is_refused(position):
    for sequence in (HEAVY, KAPPA, LAMBDA):
        at = number(sequence).positions.index((position, ""))
        found = refusal(sequence[:at] + "R" + sequence[at + 1 :])
        assert found.reason is Reason.CONSERVED
        assert found.detail.endswith("R instead")


@pytest.mark.parametrize("sequence", [HEAVY, KAPPA, LAMBDA])
def test_two_lost_residues_are_allowed_at_either_end_and_three_are_not(sequence):
    for n_lost in (1, 2):
        assert isinstance(check(sequence[n_lost:]), Numbered)
        assert isinstance(check(sequence[:-n_lost]), Numbered)
    assert refusal(sequence[3:]).reason is Reason.START
    assert refusal(sequence[:-3]).reason is Reason.END


@pytest.mark.parametrize("sequence", [HEAVY, KAPPA, LAMBDA])
def test_a_truncated_chain_is_told_how_much_it_lacks(sequence):
    # Heavy and lambda domains have no position 10: 15 lost residues are not 15 lost numbers.
    found = refusal(sequence[15:])
    assert found.reason is Reason.START
    assert "(15 residues missing)" in found.detail
    assert isinstance(check(sequence[15:], max_missing=15), Numbered)
    assert refusal(sequence[15:], max_missing=14).reason is Reason.START


def test_no_number_of_allowed_losses_makes_up_for_an_empty_region():
    after_cdr1 = HEAVY[number(HEAVY).regions[2] :]
    assert refusal(after_cdr1, max_missing=1000).reason is Reason.EMPTY_REGION


def test_two_domains_in_one_sequence_are_not_reduced_to_one():
    found = refusal(HEAVY + "GGGGSGGGGSGGGGS" + KAPPA)
    assert found.reason is Reason.TWO_DOMAINS
    assert "IGH" in found.detail
    assert "IGK" in found.detail


@pytest.mark.parametrize("sequence", ["", "EVQL*VE", HEAVY + "*", "EVQL VE", HEAVY + "é", "1234"])
def test_what_is_not_letters_is_refused_and_never_raises(sequence):
    assert refusal(sequence).reason is Reason.LETTERS


def test_case_does_not_matter_and_unknown_residues_may_be_numbered():
    assert check(HEAVY.lower()) == check(HEAVY)
    assert isinstance(check(HEAVY.replace("GDG", "GXG")), Numbered)


def test_number_raises_what_check_refuses():
    with pytest.raises(SequenceError, match="not an antibody variable domain"):
        number(GLOBIN)


@pytest.mark.slow
def test_bulk_numbering_is_fast_enough_for_repertoires():
    # A floor that a loaded machine still passes; an idle core does 4,000 a second and more.
    rng = random.Random(0)
    chains = [HEAVY.replace("GDGF", "".join(rng.choices(RESIDUES, k=4))) for _ in range(2000)]
    start = process_time()
    for chain in chains:
        check(chain)
    assert 2000 / (process_time() - start) > 1500


def test_the_second_judge_agrees_and_survives_a_bad_letter_in_the_batch():
    pytest.importorskip("anarcism")
    sequences = [HEAVY, GLOBIN, KAPPA, "EVQL*", HEAVY[40:], "", LAMBDA]
    assert is_domain(sequences) == [True, False, True, False, False, False, True]


def test_germline_genes_are_those_of_the_antibody():
    pytest.importorskip("anarcism")
    heavy, nothing, light = nearest_germline([HEAVY, GLOBIN, KAPPA])
    assert nothing is None
    # Trastuzumab was built on human VH3 and V kappa 1 (Carter et al. 1992).
    assert heavy.v_gene.startswith("IGHV3-")
    assert light.v_gene.startswith("IGKV1-")
    assert 0.7 < heavy.v_identity < 1


def test_an_unknown_species_is_an_error_and_not_no_germline():
    pytest.importorskip("anarcism")
    with pytest.raises(ValueError, match="human"):
        is_domain([HEAVY], species=["dragon"])


LINKER = "GGGGS" * 3


@pytest.mark.parametrize(
    ("parts", "loci"),
    [
        ((HEAVY, LINKER, KAPPA), "HK"),
        ((KAPPA, LINKER, HEAVY), "KH"),
        ((LAMBDA, LINKER, HEAVY), "LH"),
        ((HEAVY, LINKER, HEAVY), "HH"),
        ((HEAVY, KAPPA), "HK"),
        (("MGWSCIILFLVATATGVHS", HEAVY, LINKER, LAMBDA, "AAAHHHHHH"), "HL"),
        ((HEAVY, LINKER, KAPPA, LINKER, HEAVY, LINKER, LAMBDA), "HKHL"),
    ],
)
def test_every_domain_of_a_construct_is_found_where_it_stands(parts, loci):
    found = domains("".join(parts))
    assert "".join(domain.locus[-1] for domain in found) == loci
    starts = {sum(map(len, parts[:i])): part for i, part in enumerate(parts) if len(part) > 100}
    assert [domain.start for domain in found] == list(starts)
    for domain in found:
        alone = number(starts[domain.start])
        assert (domain.stop - domain.start, domain.positions, domain.regions) == (
            alone.stop,
            alone.positions,
            alone.regions,
        )


def test_a_part_of_a_domain_is_none_and_hides_none():
    for whole, part in ((HEAVY, KAPPA[:-5]), (KAPPA, HEAVY[:-5]), (HEAVY, HEAVY[25:])):
        for sequence in (whole + LINKER + part, part + LINKER + whole):
            (found,) = domains(sequence)
            assert sequence[found.start : found.stop] == whole


@pytest.mark.parametrize("sequence", ["", "EVQ*", GLOBIN, TCR_BETA, HEAVY[20:], "A" * 20_000])
def test_what_has_no_domain_has_none_and_never_raises(sequence):
    assert domains(sequence) == ()


def test_one_domain_is_the_one_that_check_finds():
    for sequence in (HEAVY, KAPPA.lower(), "MK" + LAMBDA + "GQPKAAPS"):
        assert domains(sequence) == (check(sequence),)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_no_number_of_domains_is_reduced_to_one(n):
    found = refusal(LINKER.join([HEAVY, KAPPA, HEAVY, KAPPA][:n]))
    assert found.reason is Reason.TWO_DOMAINS
    assert found.detail.count("IG") == n


def test_random_proteins_have_no_domains():
    rng = random.Random(1)
    for _ in range(100):
        assert domains("".join(rng.choices(RESIDUES, k=rng.randint(90, 600)))) == ()
