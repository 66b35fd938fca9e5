"""Molecules and immunology: from files of structures and labels to tasks, features, priors, and predictions.

Importing this package does not import RDKit, which is needed only where a structure is read.
"""

from metaprior.molecules.assay_table import AssayTable
from metaprior.molecules.conformers import Conformer, Conformers, embed, read_conformers
from metaprior.molecules.deeprc import DeepRC
from metaprior.molecules.diffusion import MoleculeDiffusion
from metaprior.molecules.fingerprints import AtomPairs, Torsions
from metaprior.molecules.fsmol import FSMol
from metaprior.molecules.generative import Generative, GenerativePrior
from metaprior.molecules.graph_net import GraphNet
from metaprior.molecules.graphs import Graph
from metaprior.molecules.immunomodulators import Immunomodulators
from metaprior.molecules.mhc import PeptideMHC
from metaprior.molecules.moleculenet import MoleculeNet, ToxicityTasks
from metaprior.molecules.nci import NCI
from metaprior.molecules.probe import MultitaskProbe
from metaprior.molecules.protocol import assay_protocol
from metaprior.molecules.qm7 import QM7
from metaprior.molecules.repertoires import Repertoire
from metaprior.molecules.sequence_diffusion import SequenceDiffusion
from metaprior.molecules.sequence_featurisers import Aligned, Composition, KMers
from metaprior.molecules.sum_pooled import SumPooled
from metaprior.molecules.titan import Titan
from metaprior.molecules.token_featurisers import ResidueTokens, SmilesTokens

__all__ = [
    "NCI",
    "QM7",
    "Aligned",
    "AssayTable",
    "AtomPairs",
    "Composition",
    "Conformer",
    "Conformers",
    "DeepRC",
    "FSMol",
    "Generative",
    "GenerativePrior",
    "Graph",
    "GraphNet",
    "Immunomodulators",
    "KMers",
    "MoleculeDiffusion",
    "MoleculeNet",
    "MultitaskProbe",
    "PeptideMHC",
    "Repertoire",
    "ResidueTokens",
    "SequenceDiffusion",
    "SmilesTokens",
    "SumPooled",
    "Titan",
    "Torsions",
    "ToxicityTasks",
    "assay_protocol",
    "embed",
    "read_conformers",
]
