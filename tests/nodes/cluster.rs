//! A cluster of Ray's with several nodes, on this machine.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mobula::prelude::*;
use serde::Deserialize;

/// A process joins one cluster at a time.
static ONE: Mutex<()> = Mutex::new(());

/// The cluster, and this program's part in it.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    /// Gone before the cluster is.
    runtime: Option<Runtime>,
    process: Child,
    _one: MutexGuard<'static, ()>,
}

#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    /// The process that stands for it, which what runs there knows.
    pub(crate) raylet: u32,
}

#[derive(Deserialize)]
struct Told {
    address: String,
    nodes: Vec<Node>,
}

/// The process that stands for the node on which this runs.
pub(crate) fn raylet() -> u32 {
    let raylet = env::var("RAY_RAYLET_PID").expect("it runs on a node");
    raylet.parse().expect("it is a process")
}

impl Nodes {
    /// A cluster of these nodes, as Ray's Python describes them. None, where clusters are not asked for.
    pub(crate) fn start(nodes: &str) -> Option<Self> {
        let asked = env::var("MOBULA_TEST_CLUSTERS").unwrap_or_default();
        if asked != "1" && !asked.split(',').any(|name| name == "ray") {
            return None;
        }
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let python = env::var("MOBULA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut process = Command::new(python)
            .args(["-c", include_str!("cluster.py"), nodes])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a Python");
        let stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        // What Ray says by itself comes there, too.
        let mut lines = stdout.lines().map(|line| line.expect("the cluster tells itself"));
        let told = lines.find_map(|line| serde_json::from_str::<Told>(&line).ok());
        let Told { address, nodes } = told.expect("the cluster has started");
        // It may go on talking.
        std::thread::spawn(move || lines.for_each(drop));
        let config = Config::new().engine(Engine::Ray).address(address);
        let runtime = Some(Runtime::new(config).expect("the cluster lets this program in"));
        Some(Self { nodes, runtime, process, _one: one })
    }

    pub(crate) fn enter(&self) -> mobula::EnterGuard<'_> {
        self.runtime.as_ref().expect("it ends with this").enter()
    }

    /// Ends a node, without a farewell.
    pub(crate) fn kill(&self, node: usize) {
        self.tell(&format!("kill {node}\n"));
    }

    fn tell(&self, line: &str) {
        let mut stdin = self.process.stdin.as_ref().expect("it is piped");
        stdin.write_all(line.as_bytes()).expect("the cluster listens");
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        drop(self.runtime.take());
        self.tell("end\n");
        let _ = self.process.wait();
    }
}
