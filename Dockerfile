# An image for training and for `dsfunet factorize` on NVIDIA GPUs; torch brings its own CUDA libraries.
#
#   docker build -t dsfunet --build-arg COMMIT=$(git rev-parse --short=8 HEAD) .
#   docker run --gpus all --shm-size 16g -v "$PWD/data:/training/data" -v "$PWD/runs:/training/runs" dsfunet \
#     dsfunet fit --config configs/release_gpu.yaml
#
# On a cluster with Apptainer: `apptainer build dsfunet.sif docker-daemon://dsfunet:latest`.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

WORKDIR /training
# Dependencies first: they change seldom, and their layer is then kept.
COPY pyproject.toml README.md LICENSE ./
COPY dsfunet/__init__.py dsfunet/_version.py dsfunet/
RUN pip install --editable '.[train,simulate,evaluate,tensorboard,mlflow,s3]'
COPY dsfunet dsfunet
COPY simulate simulate
COPY evaluate evaluate
COPY configs configs
COPY examples examples

# Every run records the commit, which is not in the image's folder: --build-arg COMMIT=... gives it.
ARG COMMIT
LABEL org.opencontainers.image.revision=$COMMIT
ENV DSFUNET_COMMIT=$COMMIT

# Not root: files in mounted folders then belong to this user. `docker run --user "$(id -u)"` sets another one, which has
# no name and no home of its own; torch's compiler and the trackers need both.
RUN useradd --uid 1000 --create-home --home-dir /trainer trainer && chown trainer /training && chmod 777 /trainer
ENV HOME=/trainer USER=trainer
# The number of trainer: some clusters refuse images whose user is a name, which may be root's.
USER 1000
CMD ["dsfunet", "--help"]
