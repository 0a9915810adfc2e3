# A server for a trained model, on the CPU. Build the wheel first: pip wheel --no-deps -w dist .
#
#   docker build -t serjax-serve .
#   docker run --read-only --tmpfs /tmp --tmpfs /cache:uid=10001 --cap-drop ALL --security-opt no-new-privileges \
#       -p 127.0.0.1:8000:8000 -v ./checkpoints/quickstart:/model:ro serjax-serve
FROM python:3.12-slim-bookworm AS build
COPY dist/*.whl /wheels/
RUN python -m venv /venv \
    && wheel="$(ls /wheels/serjax-*.whl)" \
    && /venv/bin/pip install --no-cache-dir "${wheel}[serve,video]"

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /cache --shell /usr/sbin/nologin serjax \
    && mkdir /cache /model \
    && chown serjax:serjax /cache
COPY --from=build /venv /venv
# All that is written: compiled programs and what the Hub gives in /cache, the recording that is decoded in /tmp.
ENV PATH=/venv/bin:$PATH \
    HOME=/cache \
    HF_HOME=/cache/huggingface \
    MPLCONFIGDIR=/cache/matplotlib \
    NUMBA_CACHE_DIR=/cache/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERJAX_CACHE=/cache/xla \
    TMPDIR=/tmp
USER 10001:10001
WORKDIR /cache
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
STOPSIGNAL SIGTERM
# Inside of a container all addresses are the container's; what is published of them is for `docker run -p` to say.
ENTRYPOINT ["python", "-m", "serjax.serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["/model"]
