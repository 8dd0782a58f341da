#!/usr/bin/env bash
# Renew constraints.txt: install the newest releases that pyproject.toml allows, every extra
# included, into a fresh environment, and write down what came. Run the tests before committing it.
#   scripts/constraints.sh [PYTHON]     PYTHON: an interpreter of the version in python_env.yaml
#   TORCH=torch==2.13.0 ...             which PyTorch to ask for (default: what pyproject allows)
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet --upgrade pip
$pip install --quiet "${TORCH:-torch}" --editable ".[sample,deep,postgres,s3,dev]"
$pip check

# +cpu and the like name one build of a release: the pin is for the release. The GPU packages of
# PyTorch's Linux wheel belong to that wheel, which pins them itself.
{
  cat <<HEADER
# The tested set: the exact version of every package, direct, transitive and dev, that the tests
# ran with. Used as \`pip install -c constraints.txt ...\`, by python_env.yaml and conda.yaml, and
# by docker/Dockerfile. A constraint installs nothing by itself.
# Made by scripts/constraints.sh with Python $("$work/venv/bin/python" -c 'import platform; print(platform.python_version())'): a fresh environment, the newest releases
# that pyproject.toml allows, all extras, frozen. To renew: run it again, then
# scripts/sync_env.py, then \`make check\`, and commit the files together.
HEADER
  $pip freeze --all --exclude-editable |
    grep -viE '^(nvidia-|triton|cuda-|wheel==)' |
    sed -E 's/ @ .*//; s/\+(cpu|cu[0-9]+)$//' |
    LC_ALL=C sort --ignore-case
} >"$work/constraints.txt"
mv "$work/constraints.txt" constraints.txt
echo "constraints.txt: $(grep -c '==' constraints.txt) packages"
