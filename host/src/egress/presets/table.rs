//! The presets. A host is here because its maker's own documentation says that a build asks for it; `source` is that page.
//!
//! A preset is for getting packages. Hosts on which anyone may store anything, such as those of clouds, are in none.

use super::{Preset, PresetHost};

const fn host(rule: &'static str, source: &'static str) -> PresetHost {
    PresetHost { rule, source }
}

const GRADLE_MIRRORING: &str = "https://plugins.gradle.org/docs/mirroring";
const GO_VARIABLES: &str = "https://go.dev/ref/mod#environment-variables";
const PYPI_INDEX: &str = "https://docs.pypi.org/api/index-api/";
const GITHUB_RUNNERS: &str = "https://docs.github.com/en/actions/reference/runners/self-hosted-runners";
const UBUNTU_REPOSITORIES: &str = "https://help.ubuntu.com/community/Repositories/CommandLine";

/// All presets, in the order of the documentation.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "node",
        about: "packages of npm, pnpm and yarn, headers for native modules",
        also: &["npm", "pnpm", "yarn", "nodejs", "javascript", "typescript", "bun"],
        files: &["package.json"],
        hosts: &[
            host("registry.npmjs.org", "https://docs.npmjs.com/cli/using-npm/registry"),
            host("registry.yarnpkg.com", "https://yarnpkg.com/configuration/yarnrc#npmRegistryServer"),
            host("nodejs.org", "https://github.com/nodejs/node-gyp#readme"),
        ],
    },
    Preset {
        name: "python",
        about: "packages of PyPI for pip, uv and poetry",
        also: &["pip", "pypi", "uv", "poetry", "pipx"],
        files: &["pyproject.toml", "requirements.txt", "setup.py", "uv.lock", "Pipfile"],
        hosts: &[host("pypi.org", PYPI_INDEX), host("files.pythonhosted.org", PYPI_INDEX)],
    },
    Preset {
        name: "conda",
        about: "channels of conda and mamba",
        also: &["mamba", "anaconda", "miniconda"],
        files: &["environment.yml", "environment.yaml"],
        hosts: &[
            host(
                "conda.anaconda.org",
                "https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/settings.html",
            ),
            host(
                "repo.anaconda.com",
                "https://www.anaconda.com/docs/getting-started/working-with-conda/reference/default-channels",
            ),
        ],
    },
    Preset {
        name: "rust",
        about: "crates, and toolchains of rustup",
        also: &["cargo", "crates", "rustup"],
        files: &["Cargo.toml"],
        hosts: &[
            host("index.crates.io", "https://doc.rust-lang.org/cargo/reference/registry-index.html"),
            host("static.crates.io", "https://crates.io/data-access"),
            host("static.rust-lang.org", "https://rust-lang.github.io/rustup/environment-variables.html"),
        ],
    },
    Preset {
        name: "go",
        about: "modules by the mirror, and their checksums",
        also: &["golang"],
        files: &["go.mod"],
        hosts: &[host("proxy.golang.org", GO_VARIABLES), host("sum.golang.org", GO_VARIABLES)],
    },
    Preset {
        name: "java",
        about: "packages for Maven, Gradle and sbt, plug-ins and distributions of Gradle",
        also: &["maven", "gradle", "kotlin", "scala", "sbt"],
        files: &["pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"],
        hosts: &[
            host(
                "repo.maven.apache.org",
                "https://maven.apache.org/ref/current/maven-model-builder/super-pom.html",
            ),
            host("repo1.maven.org", "https://get-coursier.io/docs/other-repositories"),
            host("plugins.gradle.org", GRADLE_MIRRORING),
            host("plugins-artifacts.gradle.org", GRADLE_MIRRORING),
            host("services.gradle.org", "https://docs.gradle.org/current/userguide/gradle_wrapper.html"),
            host("downloads.gradle.org", "https://gradle.org/releases/"),
        ],
    },
    Preset {
        name: "dotnet",
        about: "packages of NuGet",
        also: &["nuget", "csharp", "net"],
        files: &["*.sln", "*.csproj", "*.fsproj", "global.json", "nuget.config"],
        hosts: &[host("api.nuget.org", "https://learn.microsoft.com/en-us/nuget/api/overview")],
    },
    Preset {
        name: "ruby",
        about: "gems",
        also: &["gem", "bundler", "rubygems", "rails"],
        files: &["Gemfile"],
        hosts: &[
            host("rubygems.org", "https://guides.rubygems.org/rubygems-org-compact-index-api/"),
            host(
                "index.rubygems.org",
                "https://github.com/rubygems/rubygems/blob/master/bundler/lib/bundler/fetcher/base.rb",
            ),
        ],
    },
    Preset {
        name: "php",
        about: "the index of Composer, whose packages are mostly at `github`",
        also: &["composer", "packagist"],
        files: &["composer.json"],
        hosts: &[host("repo.packagist.org", "https://getcomposer.org/doc/05-repositories.md")],
    },
    Preset {
        name: "github",
        about: "repositories by https, the API, archives, releases, LFS",
        also: &["gh"],
        files: &[],
        hosts: &[
            host("github.com", GITHUB_RUNNERS),
            host("api.github.com", GITHUB_RUNNERS),
            host("codeload.github.com", GITHUB_RUNNERS),
            host("raw.githubusercontent.com", "https://docs.github.com/en/rest/meta/meta"),
            host("objects.githubusercontent.com", GITHUB_RUNNERS),
            host("release-assets.githubusercontent.com", GITHUB_RUNNERS),
            host("github-cloud.githubusercontent.com", GITHUB_RUNNERS),
        ],
    },
    Preset {
        name: "debian",
        about: "packages of Debian",
        also: &["apt", "bookworm", "trixie"],
        files: &[],
        hosts: &[
            host("deb.debian.org", "https://deb.debian.org/"),
            host("security.debian.org", "https://www.debian.org/security/"),
        ],
    },
    Preset {
        name: "ubuntu",
        about: "packages of Ubuntu",
        also: &["jammy", "noble"],
        files: &[],
        hosts: &[
            host("archive.ubuntu.com", UBUNTU_REPOSITORIES),
            host("security.ubuntu.com", UBUNTU_REPOSITORIES),
            host("ports.ubuntu.com", "https://ports.ubuntu.com/"),
        ],
    },
    Preset {
        name: "alpine",
        about: "packages of Alpine Linux",
        also: &["apk"],
        files: &[],
        hosts: &[host("dl-cdn.alpinelinux.org", "https://wiki.alpinelinux.org/wiki/Repositories")],
    },
];
