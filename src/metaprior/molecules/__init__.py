"""Molecules: from files of structures and labels to tasks, features, priors, and predictions.

Importing this package does not import RDKit, which is needed only where a structure is read.
"""

from metaprior.molecules.assay_table import AssayTable
from metaprior.molecules.fsmol import FSMol
from metaprior.molecules.moleculenet import MoleculeNet, ToxicityTasks
from metaprior.molecules.nci import NCI
from metaprior.molecules.probe import MultitaskProbe
from metaprior.molecules.protocol import assay_protocol

__all__ = ["NCI", "AssayTable", "FSMol", "MoleculeNet", "MultitaskProbe", "ToxicityTasks", "assay_protocol"]
