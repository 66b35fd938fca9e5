#!/usr/bin/env bash
# Acquire nine memories with five seeds and seven with two, and score them: about three hours on one core.
set -euo pipefail
python "$(dirname "$0")/score.py"
