# An image for training and for `dsfunet factorize` on NVIDIA GPUs; torch brings its own CUDA libraries.
#
#   docker build -t dsfunet .
#   docker run --gpus all --shm-size 16g -v "$PWD/data:/training/data" -v "$PWD/runs:/training/runs" dsfunet \
#     dsfunet fit --config configs/release_gpu.yaml
#
# On a cluster with Apptainer: `apptainer build dsfunet.sif docker-daemon://dsfunet:latest`.
FROM python:3.12-slim

# The version of the code is recorded with every run: give it with --build-arg COMMIT=$(git rev-parse HEAD).
ARG COMMIT=unknown
LABEL org.opencontainers.image.revision=$COMMIT
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

WORKDIR /training
# Dependencies first: they change seldom, and their layer is then kept.
COPY pyproject.toml README.md LICENSE ./
COPY dsfunet/__init__.py dsfunet/_version.py dsfunet/
RUN pip install --editable '.[train,simulate,evaluate]'
COPY dsfunet dsfunet
COPY simulate simulate
COPY evaluate evaluate
COPY configs configs
COPY examples examples

# Not root: files in mounted folders then belong to this user (docker run --user "$(id -u)" sets another one).
RUN useradd --create-home trainer && chown trainer /training
USER trainer
CMD ["dsfunet", "--help"]
