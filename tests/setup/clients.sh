#!/usr/bin/env bash
# Makes clients of the registries exist below .cache, and prints their directory: Deno, Bun, undici, ws and gRPC of npm, aiohttp, httpx, requests,
# websockets, gRPC and pip of PyPI, and a client of Go's standard library. Tests run them where no variable names a proxy.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir="$cache_dir/clients"
npm_packages="deno@2.9.6 bun@1.4.5 undici@7.30.2 ws@8.23.0 @grpc/grpc-js@1.14.7"
python_packages="aiohttp==3.14.5 httpx==0.28.1 h2==4.4.1 websockets==17.4 grpcio==1.85.3 requests==2.34.2 pip==26.3"
key=$(sha256sum "${BASH_SOURCE[0]}")

go_client() {
  cat >get.go <<'END'
package main

import ("net/http"; "os")

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil { println(err.Error()); os.Exit(1) }
	if answer.StatusCode != 200 { os.Exit(2) }
}
END
  CGO_ENABLED=0 GOTOOLCHAIN=local go build -o get get.go
}

lock_setup clients
if [ "$(cat "$dir/key" 2>/dev/null)" != "$key" ]; then
  for program in npm go; do
    command -v $program >/dev/null || fail "$program is missing, whose clients are tried in bottles" "install $program as its makers say"
  done
  /usr/bin/python3 -m pip --version >/dev/null 2>&1 || install_packages "clients of Python" python3-pip
  say "installing $npm_packages and $python_packages below $dir"
  rm -rf "$dir"
  mkdir -p "$dir"
  cd "$dir"
  # shellcheck disable=SC2086
  npm install --prefix . --no-fund --no-audit --loglevel=error $npm_packages >&2 || fail "installing $npm_packages failed"
  # shellcheck disable=SC2086
  PIP_ROOT_USER_ACTION=ignore /usr/bin/python3 -m pip install --quiet --only-binary :all: --target python $python_packages >&2 \
    || fail "installing $python_packages failed"
  go_client || fail "the client of Go cannot be built"
  # The second copies of the same programs.
  rm -rf node_modules/@deno node_modules/.bin node_modules/bun/bin/bunx.exe
  echo "$key" >key
fi
echo "$dir"
