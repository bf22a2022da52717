# Janus-AL on CPUs. Build in a checkout:  docker build --tag janus-al .
# Run in the folder that shall hold the results:
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" janus-al campaign run quickstart.toml --dir campaigns/q
FROM python:3.13-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
ENV OMP_NUM_THREADS=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba
COPY --from=wheel /wheels /wheels
# PyTorch without CUDA, which would add gigabytes; then everything else.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.11" \
    && pip install --no-cache-dir /wheels/*.whl \
    && rm -r /wheels
WORKDIR /work
ENTRYPOINT ["janus-al"]
CMD ["--help"]
