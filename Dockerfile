# syntax=docker/dockerfile:1
# One image for all operations: `docker run … pulsecart checkout`, or FUNCTION_TARGET=checkout.
FROM python:3.11.14-slim-bookworm AS packages
COPY requirements/image.lock requirements/pubsub.lock /
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --require-hashes --no-deps \
        --only-binary :all: --no-compile --target /site --requirement /image.lock --requirement /pubsub.lock \
    && PYTHONPATH=/site pip check \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /site

FROM python:3.11.14-slim-bookworm AS sources
COPY . /app
RUN rm -r /app/requirements

# The bytecode is never compared with its source: no file of the image changes, and a cold start compiles
# nothing.
FROM sources AS compiled
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /app

# The interpreter without package installers, and with the bytecode of its library, which the official image lacks.
FROM python:3.11.14-slim-bookworm AS python
RUN pip uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip \
    && rm -rf /usr/local/lib/python3.11/ensurepip /usr/local/lib/python3.11/idlelib /usr/local/lib/python3.11/lib2to3 \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /usr/local/lib/python3.11
COPY --from=packages /site /site
ENV PYTHONPATH=/app:/site PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 65532:65532
EXPOSE 8080

# Only for `tilt up`: writable sources, and watchfiles, which restarts the operation when they change. A shell
# puts the container's arguments into its command; open streams and requests are cut off after a second.
FROM packages AS live-packages
COPY requirements/live.lock /
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --require-hashes --no-deps \
        --only-binary :all: --target /live --requirement /live.lock \
    && PYTHONPATH=/site:/live pip check

FROM python AS live
COPY --from=live-packages /live /live
COPY --from=sources --chown=65532:65532 /app /app
ENV PYTHONPATH=/app:/site:/live
ENTRYPOINT ["sh", "-c", "exec python3 -m watchfiles --target-type command --sigint-timeout 1 \"python3 -m pulsecart.processes.function $*\" /app", "live"]

FROM python
COPY --from=compiled /app /app
ENTRYPOINT ["python3", "-m", "pulsecart.processes.function"]
