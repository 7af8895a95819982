# The service as an image. Build: docker build -t recsys .   Run: see deploy/compose.yaml and docs/service.md
# The image that is not slim has a compiler, for the loops of recsys_vae/native.
FROM python:3.13 AS wheel
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY recsys_vae recsys_vae
COPY pipelines pipelines
COPY service service
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist . && ls /dist/*linux*.whl

FROM python:3.13-slim AS install
RUN python -m venv /opt/recsys
ENV PATH=/opt/recsys/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt ./
COPY --from=wheel /dist /dist
# PyTorch's own index has builds without CUDA, which are a tenth of the size.
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt \
    "$(ls /dist/*.whl)[all,cpu,postgres,redis,otel]"

FROM python:3.13-slim
COPY --from=install /opt/recsys /opt/recsys
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/recsys recsys
ENV PATH=/opt/recsys/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    RECSYS_HOME=/var/lib/recsys \
    RECSYS_HOST=0.0.0.0 \
    RECSYS_PORT=8000
USER recsys
VOLUME /var/lib/recsys
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["recsys"]
# Without RECSYS_KEYS_FILE or RECSYS_KEYS it does not start: nobody would be asked for a key.
CMD ["serve"]
