# The operator's image: one binary on a base without a shell, run by nobody in particular.
# Each platform builds for itself (natively or emulated): docker buildx build --platform linux/amd64,linux/arm64 .

FROM rust:1.95-bookworm AS build
ARG TARGETARCH
# `otlp`: with traces for an OpenTelemetry collector
ARG FEATURES=
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    cargo build --release --locked --package redis-replication-operator --bins --features "$FEATURES" --target-dir "/target/$TARGETARCH" && \
    cp "/target/$TARGETARCH/release/redis-replication-operator" /usr/local/bin/

FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="redis-replication-operator" \
      org.opencontainers.image.description="A Kubernetes operator for Redis and Valkey master-replica clusters" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /usr/local/bin/redis-replication-operator /usr/local/bin/redis-replication-operator
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/redis-replication-operator"]
