#!/usr/bin/env bash
# The order in which benchmarks/gpu.py trained the weights that travel, on one card.
# usage: gpu.sh SOURCE CACHE OUT        (the folder OUT gets weights and logs)
set -u
cd "$(dirname "$0")/.."
source=$1 cache=$2 out=$3
mkdir -p "$out"
run() { python3 benchmarks/gpu.py "$@" --source "$source" --cache "$cache" --out "$out"; }
best() { python3 - "$@" <<'PY'
import json, re, sys
def psnr(path):
    row = [x for x in open(path) if x.startswith("REPORT")][-1]
    return json.loads(row[7:])["held"]["psnr"]
print(max(sys.argv[1:], key=psnr).removesuffix(".log"))
PY
}
python3 -c "
from scgan_lib import tiny
import sys, time
t = time.time(); data = tiny.open_tiny(sys.argv[1], sys.argv[2]); print('opened', time.time() - t, flush=True)
" "$source" "$cache"
python3 -c "
from scgan_lib import tiny
import sys, time
t = time.time(); tiny.open_tiny(sys.argv[1], sys.argv[2]).saliency(); print('saliency', time.time() - t, flush=True)
" "$source" "$cache" >"$out/saliency.log" 2>&1 &
maps=$!
run stage0 --seconds ${STAGE0:-80} >"$out/stage0.log" 2>&1
wait $maps
tail -n 1 "$out"/{stage0,saliency}.log
start="--start $out/stage0.safetensors --seconds ${STAGE1:-140}"
run stage1 $start --tag -a --set min_scale=0.6 stage1_lr=0.001 >"$out/stage1-a.log" 2>&1 & a=$!
run stage1 $start --tag -b --set min_scale=0.6 stage1_lr=0.002 weight_decay=0.05 batch=128 >"$out/stage1-b.log" 2>&1
wait $a
grep -hE "curve|REPORT|Error" "$out"/stage1-?.log
first=$(best "$out"/stage1-a.log "$out"/stage1-b.log)
cp "$first.safetensors" "$out/stage1.safetensors"
echo "best stage 1: $first"
start="--start $out/stage1.safetensors --seconds ${STAGE2:-110}"
for k in 0.003 0.01 0.03; do
  run stage2 $start --tag -$k --set batch=128 adversarial=$k >"$out/stage2-$k.log" 2>&1 &
done
wait
tail -n 3 "$out"/stage2-*.log
