//! The agent's program as package managers lay it out that cannot be had here: Homebrew, Nix, snap, asdf, pyenv and volta. The package
//! is a real one, which npm installs; the directories, links and scripts around it are as those managers make them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Backend, FailureKind};

use crate::installs::{Home, NAME};
use crate::tools::program;

/// Installs the package below a prefix, with an interpreter of its own in its first line, and returns its script.
fn installed(home: &Home, prefix: &Path, interpreter: &str) -> PathBuf {
    let archive = home.join(&format!("{NAME}.tgz")).display().to_string();
    home.run("npm", &["install", "--global", "--prefix", prefix.to_str().unwrap(), &archive]);
    let script = prefix.join("lib/node_modules").join(NAME).join("cli.js");
    let text = fs::read_to_string(&script).unwrap();
    program(&script, &text.replace("#!/usr/bin/env node", &format!("#!{interpreter}")));
    script
}

/// Copies a program of the system, as a package manager that shares nothing with it has one.
fn copied(name: &str, target: &Path) {
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::copy(fs::canonicalize(Path::new("/usr/bin").join(name)).unwrap(), target).unwrap();
}

fn link(target: impl AsRef<Path>, place: &Path) {
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    symlink(target, place).unwrap();
}

#[test]
fn a_formula_of_homebrew_runs_with_the_interpreter_of_another() {
    let home = Home::new();
    let brew = home.join("linuxbrew/.linuxbrew");
    copied("node", &brew.join("Cellar/node/22.1.0/bin/node"));
    link("../Cellar/node/22.1.0", &brew.join("opt/node"));
    let keg = brew.join("Cellar").join(NAME).join("1.0.0");
    installed(&home, &keg.join("libexec"), brew.join("opt/node/bin/node").to_str().unwrap());
    link(format!("../libexec/bin/{NAME}"), &keg.join("bin").join(NAME));
    link(format!("../Cellar/{NAME}/1.0.0/bin/{NAME}"), &brew.join("bin").join(NAME));
    home.check("homebrew", &brew.join("bin").join(NAME), &[]);
}

#[test]
fn a_wrapper_of_nix_runs_from_its_store() {
    let home = Home::new();
    let store = home.join("nix/store");
    let at = |name: &str| store.join(name);
    copied("node", &at("0a1-nodejs-22.1.0/bin/node"));
    copied("bash", &at("0b2-bash-5.2/bin/bash"));
    let script = installed(&home, &at("0c3-words-1.0.0"), at("0a1-nodejs-22.1.0/bin/node").to_str().unwrap());
    let bin = at("0c3-words-1.0.0/bin").join(NAME);
    fs::remove_file(&bin).unwrap();
    let wrapper = format!(
        "#! {} -e\nexport NODE_PATH=''\nexec -a \"$0\" \"{}\"  {} \"$@\" \n",
        at("0b2-bash-5.2/bin/bash").display(),
        at("0a1-nodejs-22.1.0/bin/node").display(),
        script.display()
    );
    program(&bin, &wrapper);
    link(&bin, &at("0d4-profile/bin").join(NAME));
    link(at("0d4-profile"), &home.join(".local/state/nix/profiles/profile"));
    link(".local/state/nix/profiles/profile", &home.join(".nix-profile"));
    home.check("nix", &home.join(".nix-profile/bin").join(NAME), &[]);
}

#[test]
fn a_shim_of_asdf_pyenv_or_volta_stands_for_its_program() {
    for (manager, place) in [
        ("asdf", "installs/words/1.0.0"),
        ("pyenv", "versions/1.0.0"),
        ("volta", "tools/image/packages/words"),
    ] {
        let home = Home::new();
        let root = home.join(&format!(".{manager}"));
        installed(&home, &root.join(place), "/usr/bin/env node");
        let real = root.join(place).join("bin").join(NAME);
        // The manager's own program: it names what a shim stands for, and runs it.
        let own =
            if manager == "pyenv" { root.join("libexec/pyenv") } else { root.join("bin").join(manager) };
        let answers = format!(
            "#!/usr/bin/env bash\nset -e\ncase $1 in which) echo '{0}' ;; exec) shift 2; exec '{0}' \"$@\" ;; esac\n",
            real.display()
        );
        program(&own, &answers);
        let shim = if manager == "volta" {
            program(
                &root.join("bin/volta-shim"),
                &format!("#!/bin/sh\nexec '{}' exec \"${{0##*/}}\" \"$@\"\n", own.display()),
            );
            link("volta-shim", &root.join("bin").join(NAME));
            root.join("bin").join(NAME)
        } else {
            let shim = root.join("shims").join(NAME);
            let text = format!(
                "#!/usr/bin/env bash\nset -e\nprogram=\"${{0##*/}}\"\nexec \"{}\" exec \"$program\" \"$@\"\n",
                own.display()
            );
            program(&shim, &text);
            shim
        };
        home.check(manager, &shim, &[]);
    }
}

#[test]
fn a_snap_is_refused_with_another_way() {
    let home = Home::new();
    program(&home.join("usr/bin/snap"), "#!/bin/sh\n");
    link(home.join("usr/bin/snap"), &home.join("snap/bin").join(NAME));
    let mut spec = home.bench.spec("snap");
    spec.agent.command = vec![home.join("snap/bin").join(NAME).display().to_string()];
    let failure = home.bench.backend.prepare(&home.bench.call, &spec).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing);
    assert!(failure.message.contains("is a snap"), "{failure}");
    assert!(failure.hints[0].contains("in another way"), "{failure:?}");
}
