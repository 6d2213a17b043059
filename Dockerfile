# The image of workers, the gateway and Flower. Build it with `docker compose build`; docker-compose.yml runs it.
# VARIANT=gpu takes Paddle for CUDA from the index in PADDLE_GPU_INDEX, which the Paddle project publishes
# for each CUDA version; every other package comes from the same lock file.
ARG VARIANT=cpu

FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Paddle loads the system's OpenMP.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

FROM base AS packages-cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements/worker.txt /build/worker.txt
RUN /opt/venv/bin/pip install --require-hashes --requirement /build/worker.txt

FROM packages-cpu AS packages-gpu
ARG PADDLE_GPU_INDEX
RUN test -n "$PADDLE_GPU_INDEX" || { echo "Set PADDLE_GPU_INDEX to Paddle's index for your CUDA." >&2; exit 1; } \
    && version="$(/opt/venv/bin/python -c 'import importlib.metadata as m; print(m.version("paddlepaddle"))')" \
    && /opt/venv/bin/pip uninstall --yes paddlepaddle \
    && /opt/venv/bin/pip install --extra-index-url "$PADDLE_GPU_INDEX" "paddlepaddle-gpu==$version"

FROM packages-${VARIANT} AS packages

FROM packages AS models
WORKDIR /build
COPY api_client/paddlewheel paddlewheel
COPY tasks tasks
COPY workers workers
RUN /opt/venv/bin/python -m workers.models.home.install --home /opt/models

FROM base
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent paddlewheel \
    && install --directory --owner=10001 --group=10001 /galleries /batch
COPY --from=packages /opt/venv /opt/venv
COPY --from=models /opt/models /opt/models
WORKDIR /app
COPY api_client/paddlewheel paddlewheel
COPY admin admin
COPY database database
COPY gateway gateway
COPY index_store index_store
COPY job_store job_store
COPY tasks tasks
COPY workers workers
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PADDLEWHEEL_MODEL_HOME=/opt/models \
    PADDLEWHEEL_SEGMENT_URL=/galleries/segments \
    PADDLEWHEEL_SEGMENT_COPIES=/galleries/copies \
    PADDLEWHEEL_EXCHANGE_URL=/galleries/exchange \
    PADDLEWHEEL_BATCH_ROOTS=/batch \
    PADDLEWHEEL_READY_FILE=/tmp/paddlewheel.ready \
    PADDLEWHEEL_LIVE_FILE=/tmp/paddlewheel.live
USER 10001:10001
STOPSIGNAL SIGTERM
# Ready and live; a Kubernetes probe asks for each by itself, with --ready and --live.
HEALTHCHECK --interval=10s --timeout=10s --start-period=300s --retries=3 \
    CMD ["python", "-m", "workers.health"]
CMD ["python", "-m", "workers"]
