#!/usr/bin/env bash
# Acquire fourteen memories with five seeds, and score them: about two hours on one core.
set -euo pipefail
python "$(dirname "$0")/score.py"
