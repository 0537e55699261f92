#!/bin/bash
# Training on the GPUs of one or several machines with torchrun, without a queueing system. On one machine, Lightning
# can start the processes itself, and this command does the same:
#
#   dsfunet fit --config configs/paper.yaml --config configs/gpu.yaml --data.batch_size 16 --trainer.devices 4
#
# Adapt the lines below and run this on every machine, from the checkout:
#
#   configs/torchrun.sh
#
# If one process fails, the others end too; start the script again to resume from last.ckpt. When torchrun is stopped,
# its processes have 30 seconds: enough for a batch, but perhaps not for a validation or for compilation.
set -euo pipefail

CONFIG=configs/paper.yaml
NODES=1             # machines
GPUS=4              # processes per machine, one per GPU
BATCH_SIZE=16       # per GPU: the paper's batch of 64 on 4 GPUs
MAIN=localhost:29500 # the first machine, by the name that the others use

exec torchrun --nnodes "$NODES" --nproc-per-node "$GPUS" --rdzv-backend c10d --rdzv-endpoint "$MAIN" \
  --no-python dsfunet fit --config "$CONFIG" --config configs/gpu.yaml \
  --data.batch_size "$BATCH_SIZE" \
  --trainer.num_nodes "$NODES" --trainer.devices "$GPUS" \
  --ckpt_path last
