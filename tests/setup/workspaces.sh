#!/usr/bin/env bash
# Makes projects exist below .cache, and prints their directory: a Node workspace, a Python project, a Rust workspace, a Go module, a
# Maven and a Gradle project, of public packages, by the registries' own clients, as this machine has them set up. Nothing of them is built here.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir="$cache_dir/workspaces"
key=$(sha256sum "${BASH_SOURCE[0]}")

# Two packages, one of which needs the other: pnpm links them.
node() {
  mkdir -p node-pnpm/packages
  for package in object-inspect@1.13.4 side-channel@1.0.4; do
    (cd node-pnpm/packages && tar -xzf "$(npm pack --silent "$package")" && mv package "${package%@*}" && rm ./*.tgz)
  done
  echo '{ "name": "workspace", "private": true }' >node-pnpm/package.json
  # Which packages may run a script as they are installed, pnpm wants to be told.
  printf 'packages: ["packages/*"]\nlinkWorkspacePackages: true\nallowBuilds: { core-js: false }\n' >node-pnpm/pnpm-workspace.yaml
}

python() {
  /usr/bin/python3 -m pip download --quiet --no-deps --no-binary :all: --dest . click==8.3.1 >&2
  tar -xzf click-8.3.1.tar.gz && mv click-8.3.1 python-uv && rm click-8.3.1.tar.gz
}

# The client has no command that only downloads: it keeps the sources of what a project depends on.
rust() {
  mkdir -p fetch/src
  touch fetch/src/lib.rs
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\n[dependencies]\neither = "=1.15.0"\narrayvec = "=0.7.6"\n[workspace]\n' >fetch/Cargo.toml
  (cd fetch && cargo vendor --quiet --versioned-dirs >/dev/null)
  mkdir rust
  for crate in either arrayvec; do mv fetch/vendor/$crate-* "rust/$crate"; rm "rust/$crate/.cargo-checksum.json"; done
  printf '[workspace]\nmembers = ["arrayvec", "either"]\nresolver = "2"\n' >rust/Cargo.toml
  rm -r fetch
}

# What is downloaded is checked against what the module's own go.sum says of what it needs.
go_module() {
  GOPATH="$PWD/gopath" GOFLAGS=-modcacherw GONOSUMDB='*' go mod download github.com/spf13/cobra@v1.10.2
  cp -r gopath/pkg/mod/github.com/spf13/cobra@v1.10.2 go && chmod -R u+w go
  rm -rf gopath
}

# Sources and tests are packages of their own. What the tests read is not in them.
java_project() {
  for part in jar:sources jar:test-sources pom; do
    mvn -q -B dependency:copy -Dartifact=commons-cli:commons-cli:1.5.0:$part -DoutputDirectory="$PWD" -Dmaven.repo.local="$PWD/repository" >&2
  done
  mkdir -p java-maven/src/main/java java-maven/src/test/java java-maven/src/test/resources/org/apache/commons/cli
  (cd java-maven/src/main/java && jar xf ../../../../commons-cli-1.5.0-sources.jar)
  (cd java-maven/src/test/java && jar xf ../../../../commons-cli-1.5.0-test-sources.jar)
  mv commons-cli-1.5.0.pom java-maven/pom.xml
  touch java-maven/src/test/resources/org/apache/commons/cli/existing-readable.file
  rm -rf java-maven/src/*/java/META-INF ./*.jar repository
}

# The same sources. Debian's Gradle is of 2018, and knows this way to say it.
gradle_project() {
  cp -r java-maven java-gradle && rm java-gradle/pom.xml
  cat >java-gradle/build.gradle <<'END'
apply plugin: 'java'
repositories { mavenCentral() }
sourceCompatibility = 8
[compileJava, compileTestJava]*.options*.encoding = 'UTF-8'
dependencies { testCompile 'junit:junit:4.13.2' }
END
}

lock_setup workspaces
command -v gradle >/dev/null || install_packages "a project of Gradle" gradle
if [ "$(cat "$dir/key" 2>/dev/null)" != "$key" ]; then
  for program in npm cargo go mvn jar; do
    command -v $program >/dev/null || fail "$program is missing, whose projects are tried in bottles" "install $program as its makers say"
  done
  /usr/bin/python3 -m pip --version >/dev/null 2>&1 || install_packages "a project of Python" python3-pip
  say "getting projects from the registries"
  rm -rf "$dir"
  mkdir -p "$dir"
  cd "$dir"
  node && python && rust && go_module && java_project && gradle_project || fail "the projects cannot be had" "rm -rf $dir, and try again"
  echo "$key" >key
fi
echo "$dir"
