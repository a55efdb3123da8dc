# Two images from one build: `docker build --target api .` and `docker build --target worker .`
# They share one volume (ATTEST_HOME); see docker-compose.yml.

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 tesseract-ocr tesseract-ocr-chi-sim \
 && rm -rf /var/lib/apt/lists/*

FROM base AS build
# Where pip may also look: PyTorch's CPU index keeps several gigabytes of CUDA libraries out of the image.
ARG PIP_EXTRA_INDEX_URL=""
ENV PATH=/opt/attest/bin:$PATH
WORKDIR /src
# For the kernels below; it stays in this stage.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/attest
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt torch
COPY pyproject.toml LICENSE README.md ./
COPY app app
COPY ingestion ingestion
RUN pip install --no-cache-dir -c constraints.txt . && python -m compileall -q /opt/attest
# Native kernels of quantized language models: 0.4 MB in the image and a quarter of a minute. Processors without AVX-512
# and VNNI, and Arm, run PyTorch's.
RUN cd / && python -c "from app.transformer.native import build; build.main([str(build.SHIPPED)])"

FROM base AS runtime
RUN useradd --system --uid 10001 --home-dir /var/lib/attest attest \
 && install -d -o attest -g attest -m 0750 /var/lib/attest
COPY --from=build /opt/attest /opt/attest
ENV PATH=/opt/attest/bin:$PATH ATTEST_HOME=/var/lib/attest HF_HUB_OFFLINE=1
WORKDIR /var/lib/attest
VOLUME /var/lib/attest
USER attest
STOPSIGNAL SIGTERM

FROM runtime AS worker
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 \
  CMD ["attest", "status", "--check-worker"]
CMD ["attest", "worker"]

# Last, so that a plain `docker build .` makes it. It refuses to start on 0.0.0.0 without ATTEST_API_KEYS.
FROM runtime AS api
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["attest", "serve", "--no-worker", "--host", "0.0.0.0", "--port", "8000"]
