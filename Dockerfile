# The harness as a container; docker-compose.yml runs it against the service `postgres`.
FROM python:3.11-slim-bookworm
RUN useradd --create-home harness
WORKDIR /home/harness/app
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY --chown=harness . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && mkdir harness-report && chown harness harness-report
USER harness
ENTRYPOINT ["python", "-m", "harness"]
CMD ["run"]
