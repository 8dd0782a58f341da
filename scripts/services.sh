#!/usr/bin/env bash
# The servers of docker-compose.yml as processes of this machine, on free ports of loopback:
# PostgreSQL, an S3 store, and the MLflow server with its accounts. They need no container engine.
#   scripts/services.sh start FOLDER           start them; the values are those of .env, as for compose
#   scripts/services.sh env FOLDER [ACCOUNT]   what to export for the account trainer, or trader
#   scripts/services.sh status FOLDER          which of them run
#   scripts/services.sh stop FOLDER            stop them and delete their data; the logs stay
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH=$root exec "$python" -m scripts.services "$@"
