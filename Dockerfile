# docker build --tag qafs .
# docker run --rm --volume "$PWD/figures:/qafs/figures" qafs    every figure and table, from the published data
# docker run --rm --publish 8888:8888 qafs make lab LAB=--ip=0.0.0.0
# With PyTorch, for networks and photographs: docker build --tag qafs --build-arg LOCKS="light torch test" .
FROM python:3.13-slim
RUN apt-get update && apt-get install --no-install-recommends --yes git make && rm -rf /var/lib/apt/lists/*
COPY locks /tmp/locks
ARG LOCKS=light
RUN for lock in $LOCKS; do \
      python -m pip install --no-cache-dir --require-hashes --no-build-isolation --requirement /tmp/locks/$lock.txt || exit 1; \
    done
RUN useradd --create-home --uid 1000 qafs && install --directory --owner qafs /qafs
USER qafs
WORKDIR /qafs
COPY --chown=qafs . .
ENV PYTHON=python PYTHONPATH=/qafs
CMD ["make", "figures"]
