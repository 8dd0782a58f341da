#!/usr/bin/env bash
# See a model that works, in a minute: SYNTHETIC bars with a planted pattern, and the real commands
# from training to a decision. The store is a folder of its own, made anew each time.
#   scripts/demo.sh [FOLDER]      demo by default
set -euo pipefail

folder=${1:-demo}
if [ -e "$folder" ] && [ ! -f "$folder/.barwright-demo" ]; then
  echo "$folder exists and was not made by this script; give another folder: scripts/demo.sh FOLDER" >&2
  exit 2
fi
rm -rf "$folder"
mkdir -p "$folder"
touch "$folder/.barwright-demo"
cd "$folder"
export MLFLOW_TRACKING_URI=sqlite:///mlflow.db

run() {
  printf '\n$ %s\n' "$*"
  "$@"
}

echo "SYNTHETIC bars: made up, with a pattern that a model can learn. No market pays like this."
# Fewer folds and blocks than by default, and a small network: the demo is about the way, not the result.
run barwright train --symbols SYNTHETIC --source synthetic --models lightgbm,gru \
  --n-splits 3 --wf-splits 3 --param gru.hidden=16,gru.max_epochs=8,gru.learning_rate=0.004 \
  --experiment synthetic-demo
run barwright promote lightgbm-SYNTHETIC
run barwright trade --model models:/lightgbm-SYNTHETIC@champion --source synthetic --last 3
run barwright report models:/lightgbm-SYNTHETIC@champion --output report.html

report="$PWD/report.html"
echo
echo "The report of this SYNTHETIC model: file://$report"
echo "Its runs in MLflow:  MLFLOW_TRACKING_URI=sqlite:///$folder/mlflow.db make ui"
echo "To type the commands that were printed:  . .venv/bin/activate && cd $folder"
echo "On real bars most models find nothing that pays:  make train"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || [ "$(uname)" = Darwin ]; then
  python -m webbrowser -t "file://$report" >/dev/null || true
fi
