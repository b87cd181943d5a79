# Headless: the engine without a console. Build: docker build -t atp-console .
# Run: docker run -p 127.0.0.1:7443:7443 -v atp:/var/lib/atp -e ANTHROPIC_API_KEY atp-console
# The config is atp.toml in that volume; the first start writes one.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/atp && /opt/atp/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY atp_engine atp_engine
COPY atp_console atp_console
RUN /opt/atp/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/atp atp \
    && install -d -o atp -g atp -m 0700 /var/lib/atp
COPY --from=build /opt/atp /opt/atp
ENV PATH=/opt/atp/bin:$PATH PYTHONUNBUFFERED=1 ATP_DATA_DIR=/var/lib/atp ATP_CONFIG=/var/lib/atp/atp.toml
USER atp
VOLUME /var/lib/atp
EXPOSE 7443
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7443/livez', timeout=2)"]
# Inside the container every address is bound; what reaches it is decided by -p. Every call needs a key.
ENTRYPOINT ["atp-console", "serve", "--host", "0.0.0.0"]
