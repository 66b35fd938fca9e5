"""Any spelling of an allele leads to its pseudosequence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior import data
from metaprior.errors import DataError
from metaprior.molecules.alleles import Alleles, allele_key, allele_name, known_alleles

PSEUDO = "YFAMYGEKVAHTHVDTLYVRYHYYTWAVLAYTWY"
OTHER = "YYAMYREISTNTYESNLYLRYDSYTWAEWAYLWY"
TABLE = Alleles({"HLA-A02:01": PSEUDO, "HLA-A0201": PSEUDO, "HLA-A02:101": OTHER, "H-2-Kb": OTHER, "HLA-C03:03": OTHER})


@pytest.mark.parametrize(
    "name",
    [
        "HLA-A*02:01", "HLA-A02:01", "HLA-A0201", "HLA-A*0201", "HLA-A_0201", "HLA_A0201", "A*02:01", "A0201",
        "a*02:01", "A02:01", "hla-a*02:01", " HLA-A*02:01 ", "HLA-A*02:01:01", "HLA-A*02:01:01:02L", "HLA-A*020101",
        "HLA-A*02:01N",
    ],
)  # fmt: skip
def test_spellings_of_one_allele(name):
    assert TABLE.find(name) == ("HLA-A*02:01", PSEUDO)
    assert allele_name("A*02:01") == "HLA-A*02:01"


@settings(deadline=None)
@given(st.sampled_from("ABC"), st.integers(1, 99), st.integers(1, 999))
def test_separators_do_not_matter(gene, group, protein):
    digits = f"{group:02}", f"{protein:02}"
    spelt = {
        f"{start}{gene}{star}{digits[0]}{colon}{digits[1]}"
        for start in ("HLA-", "")
        for star in "* _"
        for colon in ":_"
    }
    assert len({allele_key(name) for name in spelt}) == 1


def test_other_species_and_old_names():
    for name in ("H-2-Kb", "H2-Kb", "H-2Kb", "H2Kb", "Kb"):
        assert TABLE.find(name) == ("H-2-Kb", OTHER)
    assert TABLE.find("HLA-Cw*0303")[0] == "HLA-C*03:03"
    assert TABLE.find("A*02:101")[0] == "HLA-A*02:101", "three digits are another allele"
    assert TABLE.find(PSEUDO.lower()) == (PSEUDO, PSEUDO), "a pseudosequence stands for itself"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("HLA-A*02:99", "allele 'HLA-A*02:99' is not known: did you mean 'HLA-A*02:01'?"),
        ("A2", "it names a group of alleles: did you mean 'HLA-A*02:01', or another of them?"),
        ("nonsense", "allele 'nonsense' is not known"),
    ],
)
def test_an_unknown_allele_is_told_with_the_nearest(name, told):
    with pytest.raises(DataError) as error:
        TABLE.find(name)
    assert told in str(error.value)


@pytest.mark.skipif(data.find("pmhc", "pseudosequences.netmhcpan.34aa.csv.gz") is None, reason="no peptide-MHC data")
def test_all_of_netmhcpan():
    known = known_alleles()
    assert len(known) > 11_000
    assert known.find("b0702")[0] == "HLA-B*07:02"
    assert known.find("HLA-A*02:01")[1] == PSEUDO
    assert {len(known.find(name)[1]) for name in ("Mamu-A*01", "Patr-A0101", "H-2-Kb", "BoLA-6:01301")} == {34}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("HLA-DRB1*01:01", "is of class II; those that are known here are of class I"),
        ("DQA1*05:01", "is of class II"),
        ("A2", r"names a group of alleles: did you mean 'HLA-A\*02:01', or another of them\?"),
    ],
)
def test_what_no_peptide_is_predicted_for(name, told):
    alleles = Alleles({"HLA-A02:01": "YFAMYGEKVAHTHVDTLYVRYHYYTWAVLAYTWY"})
    with pytest.raises(DataError, match=told):
        alleles.find(name)
