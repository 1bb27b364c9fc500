# Storyboard Studio in a container. CPU by default; a CUDA base by build argument:
#   docker build --build-arg BASE=pytorch/pytorch:2.13.0-cuda13.0-cudnn9-runtime --build-arg TORCH_INDEX= .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# Where pip finds a CPU build of torch; empty where the base image brings its own.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STORYBOARD_WORKSPACE=/workspace \
    STORYBOARD_MODELS_ROOT=/models

RUN useradd --create-home --uid 10001 studio \
    && install --directory --owner=studio --mode=0700 /workspace /models
WORKDIR /app

COPY constraints.txt pyproject.toml README.md ./
COPY studio ./studio
COPY engine ./engine
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} --editable .
COPY presets ./presets
COPY assets ./assets
COPY app.py LICENSE ./

USER studio
VOLUME /workspace /models
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["python", "app.py", "--host", "0.0.0.0"]
