#!/bin/bash
# Training over the GPUs of one or several machines by torchrun, without a queue. On one machine Lightning starts the
# processes itself, and this does the same:
#
#   dsfunet fit --config configs/paper.yaml --config configs/gpu.yaml --data.batch_size 16 --trainer.devices 4
#
# Adapt the lines below and run this on every machine, from the checkout:
#
#   configs/torchrun.sh
#
# A process that dies ends the others; started again, the run goes on from last.ckpt. Told to end, torchrun gives its
# processes 30 seconds: enough for a batch, perhaps not for a validation or for compiling.
set -euo pipefail

CONFIG=configs/paper.yaml
NODES=1             # machines
GPUS=4              # processes on each, one a GPU
BATCH_SIZE=16       # of one GPU: the paper's 64 over 4 of them
MAIN=localhost:29500 # the first machine, as the others call it

exec torchrun --nnodes "$NODES" --nproc-per-node "$GPUS" --rdzv-backend c10d --rdzv-endpoint "$MAIN" \
  --no-python dsfunet fit --config "$CONFIG" --config configs/gpu.yaml \
  --data.batch_size "$BATCH_SIZE" \
  --trainer.num_nodes "$NODES" --trainer.devices "$GPUS" \
  --ckpt_path last
