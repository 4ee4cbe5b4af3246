#!/usr/bin/env bash
# Makes an image that has the tools of the projects of `workspaces.sh`, from this machine's own, and prints its name on stdout: node with pnpm,
# python3 with uv, Rust, Go, Maven and Gradle with a JDK, and a linker. Nothing is done when it was made from this base image and these tools already.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

key_label="io.claude-bottle.workspaces-image.key"
image=claude-bottle-workspaces:latest

lock_setup workspaces-image
base=$("$root_dir/tests/setup/base-image.sh")
installers=$("$root_dir/tests/setup/installers.sh")
rust=$(rustc --print sysroot) || fail "rustc is missing" "install Rust as its makers say: https://rustup.rs"
go=$(go env GOROOT) || fail "go is missing" "install Go as its makers say: https://go.dev/doc/install"
key=$({ docker image inspect --format '{{.Id}}' "$base"; cat "${BASH_SOURCE[0]}" "$installers/versions"; echo "$rust $go"; } | sha256sum | cut -c1-32)
if [ "$(docker image inspect --format "{{index .Config.Labels \"$key_label\"}}" "$image" 2>/dev/null)" != "$key" ]; then
  say "making $image from $base and this machine's tools"
  recipe=$(mktemp -d)
  trap 'rm -rf "$recipe"' EXIT
  cat >"$recipe/Dockerfile" <<END
FROM $base
# Java's packages link their manual pages into a directory that the base image has not.
RUN mkdir -p /usr/share/man/man1 && apt-get -qq update \
  && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install gcc libc6-dev python3 maven gradle openjdk-17-jdk-headless >/dev/null \
  && rm -rf /var/lib/apt/lists/*
COPY rust /opt/rust
COPY go /usr/local/go
COPY pnpm /opt/pnpm
COPY uv /usr/local/bin/uv
RUN ln -s /opt/pnpm/pnpm /usr/local/bin/pnpm && chmod 755 /opt/pnpm/pnpm /usr/local/bin/uv
ENV PATH=/opt/rust/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
END
  # One archive of what lies at several places. The documentation of Rust is as large as the rest.
  tar -c -C "$recipe" Dockerfile -C "$(dirname "$rust")" --exclude=share/doc --transform "s,^$(basename "$rust"),rust," "$(basename "$rust")" \
    -C "$(dirname "$go")" --transform "s,^$(basename "$go"),go," "$(basename "$go")" -C "$installers/node_modules" pnpm -C "$installers/bin" uv \
    | docker build --quiet --label "$key_label=$key" --tag "$image" - >&2 || fail "the image $image cannot be built" "docker build it by hand"
fi
echo "$image"
