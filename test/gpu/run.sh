#!/bin/sh
# All checks on a machine with an NVIDIA GPU: `sh test/gpu/run.sh [LIBTERRACE]`. It needs python3 and the built library,
# no Node, no network; with torch and transformers a real engine joins in. Ends with 1 when a check fails.
set -u
here=$(cd "$(dirname "$0")" && pwd)
library=${1:-$here/../../addon/build/linux-x64/libterrace.so}
failed=0
run() {
  echo "# $*"
  timeout 150 python3 "$@" || { echo "FAILED: $1"; failed=1; }
}
cd "$here" || exit 1
[ -f "$library" ] || { echo "$library is missing: run \"sh .ci/addon\" first"; exit 1; }
run check_refusals.py "$library"
run check_copies.py "$library"
TENSOR_MIB=8 run check_attach.py "$library"
if python3 -c 'import torch, transformers' 2> /dev/null; then
  run check_engine.py "$library"
else
  echo "engine: skipped, no torch or transformers here"
fi
run measure_copies.py "$library" 1024
if python3 -c 'import torch' 2> /dev/null; then run measure_beside.py "$library"; fi
exit $failed
