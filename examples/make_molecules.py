"""Make the molecules of the examples: `python examples/make_molecules.py`."""

import csv
from pathlib import Path

from rdkit.Chem import MolFromSmiles
from rdkit.Chem.Crippen import MolLogP

from metaprior.molecules.nci import nci_smiles

HERE = Path(__file__).parent


def main():
    """Write an assay of 32 labelled molecules and a library of 40; a molecule is active if it is lipophilic."""
    smiles = [text for text in nci_smiles(5000) if not set(text) & set(".+-")][2000:2072]
    logp = [MolLogP(MolFromSmiles(text)) for text in smiles]
    middle = sorted(logp)[36]
    rows = [
        [f"mol{at:02}", text, "active" if value > middle else "inactive", f"{value:.2f}"]
        for at, (text, value) in enumerate(zip(smiles, logp, strict=True))
    ]
    for name, part, columns in (("assay", rows[:32], 4), ("library", rows[32:], 2)):
        with open(HERE / f"molecules_{name}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "smiles", "activity", "logp"][:columns])
            writer.writerows(row[:columns] for row in part)


if __name__ == "__main__":
    main()
