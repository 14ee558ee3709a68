//! Libraries of the system that Cargo cannot install.

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

/// Debian's packages for linear algebra, and for finding it.
const PACKAGES: [&str; 2] = ["libopenblas-dev", "pkg-config"];

/// Sees that the system has OpenBLAS, by apt where that can be done. Where it
/// cannot, says what to install; only linear algebra needs it. Tells whether it
/// is there.
pub(crate) fn provide_openblas(shell: &Shell) -> bool {
    if has_openblas(shell) {
        println!("OpenBLAS is installed");
        return true;
    }
    let installed = install(shell);
    if let Err(error) = &installed {
        eprintln!("warning: OpenBLAS is missing and was not installed: {error:#}");
        eprintln!(
            "warning: on Debian and Ubuntu, `apt-get install {}` as root installs it; \
             elsewhere, install OpenBLAS with its headers, and pkg-config",
            PACKAGES.join(" ")
        );
    }
    installed.is_ok()
}

fn has_openblas(shell: &Shell) -> bool {
    let probe = cmd!(shell, "pkg-config --exists openblas").quiet();
    probe.ignore_stdout().ignore_stderr().run().is_ok()
}

fn install(shell: &Shell) -> Result<()> {
    let user = cmd!(shell, "id -u").quiet().read()?;
    ensure!(user == "0", "only root can install packages");
    let _quiet = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    cmd!(shell, "apt-get update --quiet").run()?;
    let install = cmd!(shell, "apt-get install --quiet --yes --no-install-recommends");
    install.args(PACKAGES).run()?;
    ensure!(has_openblas(shell), "pkg-config does not find it afterwards");
    Ok(())
}
