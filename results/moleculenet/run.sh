#!/usr/bin/env bash
# Adapt the prior of the zoo to properties of MoleculeNet, and fit the controls.
set -euo pipefail
runs=${1:-runs/moleculenet}

python "$(dirname "$0")/score.py" zoo:molecules --kept "$runs"
