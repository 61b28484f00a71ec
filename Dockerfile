# docker build -t gateway .
# docker run --init --stop-timeout 45 -p 8080:8080 -p 127.0.0.1:9090:9090 -v ./gateway.toml:/etc/gateway/gateway.toml:ro gateway
#
# In a container 127.0.0.1 is the container itself, so the configuration must say
#   [gateway]                      [admin]
#   listen = ["0.0.0.0:8080"]      listen = "0.0.0.0:9090"
# Publish 9090 to the host only, as above: it is not for the public. --init collects the orphans of
# processes that a pool runs; without a pool it is not needed.

FROM python:3.13-slim AS build
RUN python -m venv /opt/gateway
# The locked dependencies first: they change less often than the code. In a folder of their own, because what is built
# there is newer than the code, whose times COPY keeps, and would be taken for it.
WORKDIR /dependencies
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir gateway && touch gateway/__init__.py \
    && /opt/gateway/bin/pip install --no-cache-dir -c constraints.txt '.[keda,kubernetes]' \
    && /opt/gateway/bin/pip uninstall --yes gateway
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN /opt/gateway/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --no-create-home --shell /usr/sbin/nologin gateway
USER gateway
EXPOSE 8080 9090 9091
# SIGTERM drains: let the orchestrator wait longer than shutdown_delay and drain_timeout (30 s by default) together.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9090/readyz', timeout=2)"]
ENTRYPOINT ["gateway"]
CMD ["run", "/etc/gateway/gateway.toml"]
