#!/usr/bin/env bash
# Renew constraints.txt: install the newest releases that pyproject.toml allows, with every extra,
# into a fresh environment, and write their versions. Run the tests before you commit the file.
#   scripts/constraints.sh [PYTHON]     PYTHON: an interpreter of the version in python_env.yaml
#   TORCH=torch==2.13.0 ...             the release of PyTorch (default: the newest that is allowed)
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

# A suffix such as +cpu names one build of a release, and the pin is for the release. The GPU
# packages are left out because PyTorch's Linux wheel pins them itself.
{
  cat <<HEADER
# The tested set: the exact version of every package (direct, transitive and dev) in the tests.
# \`pip install -c constraints.txt ...\`, python_env.yaml, conda.yaml and docker/Dockerfile use it. A
# constraint installs no package; it limits the version of one that is installed.
# scripts/constraints.sh wrote this file with Python $("$work/venv/bin/python" -c 'import platform; print(platform.python_version())'): the newest releases that
# pyproject.toml allows, with all extras, in a fresh environment. To renew it, run that script, then
# scripts/sync_env.py, then \`make check\`, and commit the files together.
HEADER
  $pip freeze --all --exclude-editable |
    grep -viE '^(nvidia-|triton|cuda-|wheel==)' |
    sed -E 's/ @ .*//; s/\+(cpu|cu[0-9]+)$//' |
    LC_ALL=C sort --ignore-case
} >"$work/constraints.txt"
mv "$work/constraints.txt" constraints.txt
echo "constraints.txt: $(grep -c '==' constraints.txt) packages"
