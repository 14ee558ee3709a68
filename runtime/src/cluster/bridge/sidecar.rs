//! The driver's Python: started with what `python/` holds, ended with the driver.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::bridge::blocks::{self, Blocks};
use crate::cluster::bridge::link::{Reader, Sender};
use crate::cluster::bridge::message::{Incoming, Settings};
use crate::cluster::bridge::views::Views;
use crate::cluster::processes::spawn::let_inherit;
use crate::cluster::registry;
use crate::error::{Error, ErrorKind, Result};

/// Which Python.
const PYTHON: &str = "MOBULA_PYTHON";
const PYTHON_DEFAULT: &str = "python3";
/// Given to Python by `-c`.
const BOOT: &str = include_str!("../python/boot.py");
/// The package that goes to the sidecar, and from there to the workers of the cluster.
const MODULES: [(&str, &str); 29] = [
    ("binary", include_str!("../python/binary.py")),
    ("blocks", include_str!("../python/blocks.py")),
    ("bridge", include_str!("../python/bridge.py")),
    ("calling", include_str!("../python/calling.py")),
    ("child", include_str!("../python/child.py")),
    ("engine_dask", include_str!("../python/engine_dask.py")),
    ("engine_ipyparallel", include_str!("../python/engine_ipyparallel.py")),
    ("engine_ray", include_str!("../python/engine_ray.py")),
    ("frames", include_str!("../python/frames.py")),
    ("fusing", include_str!("../python/fusing.py")),
    ("host", include_str!("../python/host.py")),
    ("hosting", include_str!("../python/hosting.py")),
    ("losing", include_str!("../python/losing.py")),
    ("memory", include_str!("../python/memory.py")),
    ("order", include_str!("../python/order.py")),
    ("outcome", include_str!("../python/outcome.py")),
    ("placing", include_str!("../python/placing.py")),
    ("python", include_str!("../python/python.py")),
    ("ray_cancelling", include_str!("../python/ray_cancelling.py")),
    ("ray_lending", include_str!("../python/ray_lending.py")),
    ("ray_refs", include_str!("../python/ray_refs.py")),
    ("ray_stream", include_str!("../python/ray_stream.py")),
    ("ray_upcalls", include_str!("../python/ray_upcalls.py")),
    ("ray_worker", include_str!("../python/ray_worker.py")),
    ("relay", include_str!("../python/relay.py")),
    ("sent", include_str!("../python/sent.py")),
    ("shipping", include_str!("../python/shipping.py")),
    ("sidecar", include_str!("../python/sidecar.py")),
    ("task", include_str!("../python/task.py")),
];

/// Which cluster, and as whom.
pub(super) struct Cluster<'a> {
    /// The name of the engine.
    pub(super) engine: &'a str,
    pub(super) address: Option<&'a str>,
    pub(super) namespace: Option<&'a str>,
    /// What the cluster has if it is this program's own.
    pub(super) num_cpus: usize,
    pub(super) block_warning: Duration,
    pub(super) resources: BTreeMap<&'a str, f64>,
    /// When this program, started by a host, begins to serve.
    pub(super) serves: &'a str,
}

/// A sidecar that has joined the cluster.
pub(super) struct Sidecar {
    pub(super) process: Child,
    pub(super) sender: Sender,
    pub(super) reader: Reader<ChildStdout>,
    pub(super) cpus: f64,
}

impl Sidecar {
    /// Starts Python and lets it join the cluster.
    ///
    /// # Errors
    /// `Engine`, if there is no Python, it lacks a package, or there is no cluster: it says what to do.
    pub(super) fn start(cluster: &Cluster<'_>) -> Result<Self> {
        // Without such memory all goes through the pipes.
        let shared = Shared::new().ok();
        let mut process = spawn(shared.as_ref())?;
        let joined = Self::join(&mut process, cluster, shared);
        joined
            .inspect_err(|_| {
                let _ = process.kill();
                let _ = process.wait();
            })
            .map(|(sender, reader, cpus)| Self { process, sender, reader, cpus })
    }

    fn join(
        process: &mut Child,
        cluster: &Cluster<'_>,
        shared: Option<Shared>,
    ) -> Result<(Sender, Reader<ChildStdout>, f64)> {
        let to: ChildStdin = process.stdin.take().expect("it was asked for");
        let from: ChildStdout = process.stdout.take().expect("it was asked for");
        let numbers = shared.as_ref().map(Shared::numbers);
        let (views, blocks) = shared.map(|Shared { views, blocks, .. }| (views, blocks)).unzip();
        let sender = Sender::start(to, blocks).map_err(|error| {
            failed(format_args!("the thread that writes to it did not start: {error}"))
        })?;
        let texts: BTreeMap<&str, &str> = MODULES.into_iter().collect();
        sender.send(&("package", package(), texts));
        let program = env::current_exe().map_err(|error| {
            failed(format_args!("this program does not know where its own file is: {error}"))
        })?;
        let program = program.to_string_lossy();
        sender.send(&(
            "start",
            Settings {
                engine: cluster.engine,
                address: cluster.address,
                namespace: cluster.namespace,
                num_cpus: cluster.num_cpus,
                resources: cluster.resources.clone(),
                program: &program,
                arguments: env::args_os()
                    .map(|argument| Cow::Owned(argument.to_string_lossy().into_owned()))
                    .collect(),
                environment: environment(cluster),
                serves: cluster.serves,
                actors: registry::has_actors(),
                blocks: numbers,
            },
        ));
        let mut reader = Reader::new(from, views);
        match reader.next()? {
            Some(Incoming::Started { cpus }) => Ok((sender, reader, cpus)),
            Some(Incoming::Refused { kind, text }) => Err(Error::new(kind, text)),
            Some(_) => Err(failed("its first message was another than that it has started")),
            None => Err(failed(format_args!(
                "`{}` ended before it had joined the cluster; what it wrote to stderr tells why",
                python()
            ))),
        }
    }
}

/// Memory for long values, that both sides have.
struct Shared {
    blocks: Arc<Blocks>,
    views: Arc<Views>,
    /// To the sidecar and from it, until that has them, too.
    files: (OwnedFd, OwnedFd),
}

impl Shared {
    fn new() -> io::Result<Self> {
        let files = (blocks::file()?, blocks::file()?);
        let blocks = Blocks::new(files.0.try_clone()?)?;
        Ok(Self { blocks, views: Views::new(&files.1)?, files })
    }

    fn numbers(&self) -> (i32, i32) {
        (self.files.0.as_raw_fd(), self.files.1.as_raw_fd())
    }
}

fn python() -> String {
    env::var(PYTHON).unwrap_or_else(|_| PYTHON_DEFAULT.to_owned())
}

fn spawn(shared: Option<&Shared>) -> Result<Child> {
    let python = python();
    let mut command = Command::new(&python);
    command.args(["-c", BOOT]).stdin(Stdio::piped()).stdout(Stdio::piped());
    // What a terminal or `timeout` sends to a group is the driver's to hear: the sidecar sees the driver's end, and has a
    // cluster to say farewell to.
    command.process_group(0);
    if let Some((to, from)) = shared.map(Shared::numbers) {
        // SAFETY: `shared` keeps them open until the child was started.
        let let_have = move || unsafe { let_inherit(&[to, from]) };
        // SAFETY: what runs between fork and exec makes system calls and nothing else.
        unsafe { command.pre_exec(let_have) };
    }
    command.spawn().map_err(|error| {
        failed(format_args!(
            "Python did not start as `{python}`: {error}; set {PYTHON} to a Python that has the cluster's package"
        ))
    })
}

fn failed(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Engine, format!("the bridge to the cluster failed: {why}"))
}

/// What this program is to find in its environment on the cluster: our own settings.
fn environment(cluster: &Cluster<'_>) -> BTreeMap<String, String> {
    let block_warning = cluster.block_warning.as_secs_f64().to_string();
    let settings =
        [("MOBULA_ENGINE", cluster.engine.to_owned()), ("MOBULA_BLOCK_WARNING", block_warning)];
    let ours = env::vars().filter(|(name, _)| name.starts_with("MOBULA_"));
    ours.chain(settings.map(|(name, value)| (name.to_owned(), value))).collect()
}

/// The package's name, which holds a digest of its text, so that different versions do not meet.
fn package() -> String {
    // FNV-1a: it tells versions apart, and guards against nobody.
    let bytes = MODULES.iter().flat_map(|(name, text)| name.bytes().chain(text.bytes()));
    let digest = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("mobula_bridge_{digest:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_shipped() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cluster/python");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| Some(name.strip_suffix(".py")?.to_owned()))
            .filter(|name| name != "boot")
            .collect();
        files.sort();
        assert_eq!(files, MODULES.map(|(name, _)| name));
    }
}
