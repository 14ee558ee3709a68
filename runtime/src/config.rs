//! Settings: what the program says, else what the environment says, else a default that fits the
//! machine. They are read once, checked together, and never change while a runtime lives.

mod memory;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::error::{Error, ErrorKind, Result};
use crate::millis::{Amounts, Millis};

/// The most CPUs that can be configured; a larger number is surely a mistake.
const CPUS_MAX: usize = 65_536;

/// How many events a thread's buffer holds, unless a setting says otherwise: of 32 bytes each, so it takes
/// 2 MiB, and memory for as much of it as was ever used.
const EVENT_BUFFER: usize = 1 << 16;
/// The most events that a buffer can be made to hold: 32 GiB.
const EVENT_BUFFER_MAX: usize = 1 << 30;

/// How long to wait for room in the object store, unless a setting says otherwise.
const STORE_FULL_AFTER: Duration = Duration::from_secs(10);

/// Where tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Engine {
    /// A pool of threads in this process.
    #[default]
    Threads,
    /// Each task runs on the calling thread, at the call: for debuggers and for tests.
    Inline,
    /// Each task runs in a worker process, a child of this one that runs the same binary. Linux only.
    Processes,
    /// Tasks run on a Ray cluster, which [`Config::address`] names. Linux only, as are the next two.
    Ray,
    /// Tasks run on a Dask cluster.
    Dask,
    /// Tasks run on an ipyparallel cluster.
    Ipyparallel,
}

impl Engine {
    const ALL: [Self; 6] =
        [Self::Threads, Self::Inline, Self::Processes, Self::Ray, Self::Dask, Self::Ipyparallel];

    /// The name by which `MOBULA_ENGINE` chooses it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Inline => "inline",
            Self::Processes => "processes",
            Self::Ray => "ray",
            Self::Dask => "dask",
            Self::Ipyparallel => "ipyparallel",
        }
    }

    /// Whether tasks run on a cluster that others run.
    pub(crate) fn is_cluster(self) -> bool {
        matches!(self, Self::Ray | Self::Dask | Self::Ipyparallel)
    }

    /// Whether tasks run in other processes.
    pub(crate) fn leaves(self) -> bool {
        self == Self::Processes || self.is_cluster()
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == text)
    }
}

/// The settings of a runtime. Each can also be given as an environment variable, named `MOBULA_` and
/// the setting's name in capitals; what the program sets goes first.
///
/// ```
/// use mobula::prelude::*;
///
/// let runtime = Runtime::new(Config::new().num_cpus(2))?;
/// assert_eq!(runtime.num_cpus(), 2);
/// # Ok::<(), mobula::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Config {
    num_cpus: Option<usize>,
    engine: Option<Engine>,
    resources: Vec<(String, f64)>,
    events: Option<bool>,
    event_buffer: Option<usize>,
    seed: Option<u64>,
    block_warning: Option<Duration>,
    object_store_memory: Option<usize>,
    spill_dir: Option<PathBuf>,
    store_full_after: Option<Duration>,
    worker_output: Option<WorkerOutput>,
    track_objects: Option<bool>,
    address: Option<String>,
    namespace: Option<String>,
}

/// What becomes of what worker processes print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WorkerOutput {
    /// The driver prints it, each line with the task and the process that it comes from. A line that comes
    /// several times in a row is told once, and then how often it came.
    #[default]
    Prefixed,
    /// Workers print where the driver does, and nobody touches it. An error of a worker that crashed then has no
    /// last lines.
    Raw,
}

impl WorkerOutput {
    const NAMES: &str = "prefixed, raw";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "prefixed" => Some(Self::Prefixed),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }
}

/// Settings that were checked and hold.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) num_cpus: usize,
    pub(crate) engine: Engine,
    /// What there is of named resources.
    pub(crate) resources: Amounts,
    /// How many events a thread's buffer holds, where events are recorded.
    pub(crate) event_buffer: Option<usize>,
    /// What all streams of random numbers are made from.
    pub(crate) seed: u64,
    /// After which time a method is told of that blocks the thread of async actors.
    pub(crate) block_warning: Duration,
    pub(crate) worker_output: WorkerOutput,
    /// Whether every object is noted, for those who ask which there are.
    pub(crate) track_objects: bool,
    /// Which cluster.
    pub(crate) address: Option<String>,
    /// Where its named actors are looked for.
    pub(crate) namespace: Option<String>,
    /// How long a thread without work looks for some before it sleeps.
    pub(crate) spin: Duration,
    pub(crate) store: StoreSettings,
}

/// Those of the object store.
#[derive(Clone, Debug)]
pub(crate) struct StoreSettings {
    /// How many bytes of memory its objects may take.
    pub(crate) limit: usize,
    /// Where they go beyond that.
    pub(crate) spill_dir: PathBuf,
    /// How long to wait for room where nothing can be freed.
    pub(crate) full_after: Duration,
}

impl StoreSettings {
    /// Where writing ahead begins, and where it ends: parts of the limit.
    pub(crate) fn high_water(&self) -> usize {
        self.limit / 4 * 3
    }
    pub(crate) fn low_water(&self) -> usize {
        self.limit / 8 * 5
    }
}

/// Long enough that a steady stream of short tasks finds its threads awake, short enough that an
/// idle program costs nothing one can measure.
const SPIN: Duration = Duration::from_micros(20);

/// Longer than a thread waits for a CPU on a busy machine, far shorter than anybody likes to wait.
const BLOCK_WARNING: Duration = Duration::from_secs(1);
/// Shorter than that, looking would cost more than it tells.
const BLOCK_WARNING_MIN: Duration = Duration::from_millis(1);

impl Config {
    /// Settings that leave everything to the environment and the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tasks compute at the same time. Default: `MOBULA_NUM_CPUS`, else what this process
    /// may use: its CPU affinity, its cgroup's quota and `SLURM_CPUS_PER_TASK`, whichever is least.
    pub fn num_cpus(mut self, num_cpus: usize) -> Self {
        self.num_cpus = Some(num_cpus);
        self
    }

    /// How much there is of a resource that tasks can ask for, such as `("gpu", 2.0)`, in steps of
    /// 0.001; each is given once. Default: `MOBULA_RESOURCES`, written `gpu=2,licence=0.5`, else none.
    pub fn resource(mut self, name: impl Into<String>, amount: impl Into<f64>) -> Self {
        self.resources.push((name.into(), amount.into()));
        self
    }

    /// Whether the changes of tasks and actors are recorded, for [`Runtime::events`](crate::Runtime::events).
    /// Default: `MOBULA_EVENTS`, `1` or `0`, else not.
    pub fn events(mut self, record: bool) -> Self {
        self.events = Some(record);
        self
    }

    /// How many events the buffer of each thread holds until they are read; those that find no place are
    /// dropped, and counted. Each takes 32 bytes, and a task has three or more. Default:
    /// `MOBULA_EVENT_BUFFER`, else 65 536, which is 2 MiB for each thread.
    pub fn event_buffer(mut self, events: usize) -> Self {
        self.event_buffer = Some(events);
        self
    }

    /// What the random numbers of [`rng`](crate::rng) are made from: the same seed, the same numbers.
    /// Default: `MOBULA_SEED`, else one from the operating system, which
    /// [`Runtime::seed`](crate::Runtime::seed) tells.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How long a method of an async actor may keep its thread before it is told of, by name, on the standard
    /// error stream and in the [`ShutdownReport`](crate::ShutdownReport): meanwhile no other async actor there
    /// goes on. Default: `MOBULA_BLOCK_WARNING`, in seconds, else one second.
    pub fn block_warning(mut self, after: Duration) -> Self {
        self.block_warning = Some(after);
        self
    }

    /// How many bytes of memory the objects of this runtime may take. What is beyond that goes to
    /// [`spill_dir`](Self::spill_dir), the least recently used first, and comes back when it is needed; where
    /// nothing can go, `put` and results wait, and fail with `StoreFull` in the end. Default:
    /// `MOBULA_OBJECT_STORE_MEMORY`, in bytes or as `500MiB`, `4GiB`, else 30 % of the memory that this
    /// process may use: of the machine's, its cgroup's or its limit (`ulimit -v`), whichever is least.
    ///
    /// Objects smaller than 1 KiB do not count.
    pub fn object_store_memory(mut self, bytes: usize) -> Self {
        self.object_store_memory = Some(bytes);
        self
    }

    /// Where objects go for which there is no room in memory. What dead processes left there is removed when a
    /// runtime starts. Default: `MOBULA_SPILL_DIR`, else a folder of this
    /// user's among the system's temporary files.
    pub fn spill_dir(mut self, spill_dir: impl Into<PathBuf>) -> Self {
        self.spill_dir = Some(spill_dir.into());
        self
    }

    /// How long `put` and results wait for room where nothing can be freed: because all of it is being read,
    /// cannot be written, or the disk is full. Then they fail with `StoreFull`. Default:
    /// `MOBULA_STORE_FULL_AFTER`, in seconds, else 10 seconds.
    pub fn store_full_after(mut self, wait: Duration) -> Self {
        self.store_full_after = Some(wait);
        self
    }

    /// Whether [`objects`](crate::objects) also lists results that are not there yet, and objects smaller than
    /// 1 KiB. Each object then costs an entry in a table, about 100 ns. It goes for all runtimes of the process,
    /// from the start of this one on, for good. Default: `MOBULA_TRACK_OBJECTS`, `1` or `0`, else not.
    pub fn track_objects(mut self, track: bool) -> Self {
        self.track_objects = Some(track);
        self
    }

    /// What becomes of what worker processes print, with [`Engine::Processes`]. Default:
    /// `MOBULA_WORKER_OUTPUT`, `prefixed` or `raw`, else prefixed.
    pub fn worker_output(mut self, output: WorkerOutput) -> Self {
        self.worker_output = Some(output);
        self
    }

    /// Which cluster [`Engine::Ray`], [`Engine::Dask`] or [`Engine::Ipyparallel`] joins. Default:
    /// `MOBULA_ADDRESS`, else `auto` for Ray, `local` for Dask, and ipyparallel's profile `default`.
    ///
    /// - For Ray: `auto` or `host:port`;
    /// - for Dask: `tcp://host:port`, or the path of a scheduler file;
    /// - for ipyparallel: a profile, or the path of a connection file;
    /// - for each: `local`, a cluster on this machine, with `num_cpus`, that ends with the runtime.
    ///
    /// The other engines join none and do not look at it, so that the engine may be chosen when the program is started.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// The namespace of a Ray cluster that this program works in. Default: `MOBULA_NAMESPACE`, else one of its
    /// own.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Where tasks run. Default: `MOBULA_ENGINE`, else [`Engine::Threads`].
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Checks the settings against each other and fills in what is missing.
    pub(crate) fn resolve(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Settings> {
        let engine = match (self.engine, environment("MOBULA_ENGINE")) {
            (Some(engine), _) => engine,
            (None, None) => Engine::default(),
            (None, Some(text)) => Engine::parse(text.trim()).ok_or_else(|| {
                invalid("MOBULA_ENGINE", &text, &format!("one of: {}", Engine::names()))
            })?,
        };
        let num_cpus = match (self.num_cpus, environment("MOBULA_NUM_CPUS")) {
            (Some(n), _) => check_cpus("num_cpus", n, &n.to_string())?,
            (None, Some(text)) => {
                check_cpus("MOBULA_NUM_CPUS", text.trim().parse().unwrap_or(0), &text)?
            }
            (None, None) => default_cpus(&environment),
        };
        let resources = self.resolve_resources(environment("MOBULA_RESOURCES"))?;
        let event_buffer = self.resolve_events(&environment)?;
        let worker_output = match (self.worker_output, environment("MOBULA_WORKER_OUTPUT")) {
            (Some(output), _) => output,
            (None, None) => WorkerOutput::default(),
            (None, Some(text)) => WorkerOutput::parse(text.trim()).ok_or_else(|| {
                invalid("MOBULA_WORKER_OUTPUT", &text, &format!("one of: {}", WorkerOutput::NAMES))
            })?,
        };
        let seed = self.resolve_seed(environment("MOBULA_SEED"))?;
        let block_warning = self.resolve_block_warning(environment("MOBULA_BLOCK_WARNING"))?;
        let store = self.resolve_store(&environment)?;
        let track_objects = resolve_flag(self.track_objects, "MOBULA_TRACK_OBJECTS", &environment)?;
        let address = self.address.clone().or_else(|| environment("MOBULA_ADDRESS"));
        let namespace = self.namespace.clone().or_else(|| environment("MOBULA_NAMESPACE"));
        let spin = SPIN;
        Ok(Settings {
            num_cpus,
            engine,
            resources,
            event_buffer,
            seed,
            worker_output,
            track_objects,
            block_warning,
            address,
            namespace,
            spin,
            store,
        })
    }

    fn resolve_seed(&self, variable: Option<String>) -> Result<u64> {
        match (self.seed, variable) {
            (Some(seed), _) => Ok(seed),
            (None, Some(text)) => text.trim().parse().map_err(|_| {
                invalid("MOBULA_SEED", &text, &format!("a whole number from 0 to {}", u64::MAX))
            }),
            (None, None) => SysRng.try_next_u64().map_err(|error| {
                let message = format!(
                    "failed to get a seed from the operating system: {error}; MOBULA_SEED gives one"
                );
                Error::new(ErrorKind::Config, message)
            }),
        }
    }

    fn resolve_block_warning(&self, variable: Option<String>) -> Result<Duration> {
        let (setting, given, text) = match (self.block_warning, variable) {
            (Some(after), _) => ("block_warning", Some(after), format!("{after:?}")),
            (None, None) => return Ok(BLOCK_WARNING),
            (None, Some(text)) => {
                let seconds = text.trim().parse().ok();
                let after = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                ("MOBULA_BLOCK_WARNING", after, text)
            }
        };
        let given = given.filter(|after| *after >= BLOCK_WARNING_MIN);
        given.ok_or_else(|| invalid(setting, &text, "a time of at least 0.001 seconds"))
    }

    fn resolve_events(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<usize>> {
        let record = resolve_flag(self.events, "MOBULA_EVENTS", &environment)?;
        let buffer = match (self.event_buffer, environment("MOBULA_EVENT_BUFFER")) {
            (Some(n), _) => check_buffer("event_buffer", n, &n.to_string())?,
            (None, Some(text)) => {
                check_buffer("MOBULA_EVENT_BUFFER", text.trim().parse().unwrap_or(0), &text)?
            }
            (None, None) => EVENT_BUFFER,
        };
        Ok(record.then_some(buffer))
    }

    fn resolve_store(&self, environment: impl Fn(&str) -> Option<String>) -> Result<StoreSettings> {
        let limit = match (self.object_store_memory, environment("MOBULA_OBJECT_STORE_MEMORY")) {
            (Some(0), _) => {
                return Err(invalid("object_store_memory", "0", "a number of bytes above 0"));
            }
            (Some(bytes), _) => bytes,
            (None, Some(text)) => parse_bytes(&text).ok_or_else(|| {
                let allowed = "a number of bytes above 0, such as 500000000, 500MiB or 4GiB";
                invalid("MOBULA_OBJECT_STORE_MEMORY", &text, allowed)
            })?,
            (None, None) => memory::available() / 10 * 3,
        };
        let spill_dir =
            self.spill_dir.clone().or_else(|| Some(environment("MOBULA_SPILL_DIR")?.into()));
        let full_after = match (self.store_full_after, environment("MOBULA_STORE_FULL_AFTER")) {
            (Some(wait), _) => wait,
            (None, Some(text)) => {
                let seconds = text.trim().parse().ok();
                let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                wait.ok_or_else(|| {
                    invalid("MOBULA_STORE_FULL_AFTER", &text, "a number of seconds")
                })?
            }
            (None, None) => STORE_FULL_AFTER,
        };
        let spill_dir = spill_dir.unwrap_or_else(default_spill_dir);
        Ok(StoreSettings { limit, spill_dir, full_after })
    }

    fn resolve_resources(&self, variable: Option<String>) -> Result<Amounts> {
        let mut amounts = Amounts::new();
        for part in
            variable.iter().flat_map(|text| text.split(',')).filter(|part| !part.trim().is_empty())
        {
            let amount = part.split_once('=').and_then(|(name, amount)| {
                let amount = Millis::from_f64(amount.trim().parse().ok()?)?;
                Some((name.trim().to_owned(), amount)).filter(|(name, _)| !name.is_empty())
            });
            let allowed = "a list such as gpu=2,licence=0.5, in steps of 0.001";
            let (name, amount) =
                amount.ok_or_else(|| invalid("MOBULA_RESOURCES", part, allowed))?;
            if amounts.insert(name, amount).is_some() {
                return Err(invalid("MOBULA_RESOURCES", part, "each resource once"));
            }
        }
        let mut given = BTreeSet::new();
        for (name, amount) in &self.resources {
            if name.trim().is_empty() {
                return Err(invalid("resource", name, "a name that is not empty"));
            }
            let setting = format!("resource {name:?}");
            let millis = Millis::from_f64(*amount).ok_or_else(|| {
                invalid(&setting, &amount.to_string(), "a number from 0 in steps of 0.001")
            })?;
            if !given.insert(name) {
                return Err(invalid(&setting, &amount.to_string(), "one amount, and has two"));
            }
            amounts.insert(name.clone(), millis);
        }
        Ok(amounts)
    }
}

/// What is or is not; by default it is not.
fn resolve_flag(
    given: Option<bool>,
    variable: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<bool> {
    match (given, environment(variable)) {
        (Some(given), _) => Ok(given),
        (None, None) => Ok(false),
        (None, Some(text)) => match text.trim() {
            "1" | "true" => Ok(true),
            "0" | "false" | "" => Ok(false),
            _ => Err(invalid(variable, &text, "1 or 0")),
        },
    }
}

fn check_buffer(setting: &str, value: usize, text: &str) -> Result<usize> {
    if (1..=EVENT_BUFFER_MAX).contains(&value) {
        Ok(value)
    } else {
        Err(invalid(setting, text, &format!("a whole number from 1 to {EVENT_BUFFER_MAX}")))
    }
}

fn check_cpus(setting: &str, value: usize, text: &str) -> Result<usize> {
    if (1..=CPUS_MAX).contains(&value) {
        Ok(value)
    } else {
        Err(invalid(setting, text, &format!("a whole number from 1 to {CPUS_MAX}")))
    }
}

fn invalid(setting: &str, value: &str, allowed: &str) -> Error {
    Error::new(ErrorKind::Config, format!("setting {setting} is {value:?}; it takes {allowed}"))
}

/// The CPUs that this process may use. The standard library knows affinity and cgroup quotas; Slurm
/// tells a step's share by its variable, which binds even where Slurm does not set the affinity.
fn default_cpus(environment: &impl Fn(&str) -> Option<String>) -> usize {
    let machine = std::thread::available_parallelism().map_or(1, usize::from);
    let slurm = environment("SLURM_CPUS_PER_TASK").and_then(|text| text.trim().parse().ok());
    slurm.filter(|&n| n > 0).map_or(machine, |n: usize| n.min(machine))
}

/// A folder of this user's, among the system's temporary files.
fn default_spill_dir() -> PathBuf {
    #[cfg(unix)]
    let user =
        std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).ok();
    #[cfg(not(unix))]
    let user: Option<u32> = None;
    let user = user.map_or_else(String::new, |user| format!("-{user}"));
    std::env::temp_dir().join(format!("mobula{user}"))
}

/// A number of bytes, or of the units that people use.
fn parse_bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: usize = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    digits.trim().parse::<usize>().ok()?.checked_mul(unit).filter(|&bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(config: Config, variables: &[(&str, &str)]) -> Result<Settings> {
        config.resolve(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn code_goes_before_environment_before_default() {
        let variables = [("MOBULA_NUM_CPUS", "3"), ("MOBULA_ENGINE", "inline")];
        let code = Config::new().num_cpus(5).engine(Engine::Threads);
        let settings = resolve(code, &variables).unwrap();
        assert_eq!((settings.num_cpus, settings.engine), (5, Engine::Threads));
        let settings = resolve(Config::new(), &variables).unwrap();
        assert_eq!((settings.num_cpus, settings.engine), (3, Engine::Inline));
        let settings = resolve(Config::new(), &[("SLURM_CPUS_PER_TASK", "1")]).unwrap();
        assert_eq!((settings.num_cpus, settings.engine), (1, Engine::Threads));
    }

    #[test]
    fn events_have_a_buffer_only_where_they_are_recorded() {
        let buffer = |config, variables: &[_]| resolve(config, variables).unwrap().event_buffer;
        assert_eq!(buffer(Config::new(), &[]), None);
        assert_eq!(buffer(Config::new(), &[("MOBULA_EVENTS", "1")]), Some(EVENT_BUFFER));
        assert_eq!(buffer(Config::new().events(false), &[("MOBULA_EVENTS", "1")]), None);
        let variables = [("MOBULA_EVENTS", "true"), ("MOBULA_EVENT_BUFFER", "7")];
        assert_eq!(buffer(Config::new(), &variables), Some(7));
        assert_eq!(buffer(Config::new().event_buffer(8), &variables), Some(8));
    }

    #[test]
    fn the_object_store_is_told_by_the_environment_too() {
        let store = |config, variables: &[_]| resolve(config, variables).unwrap().store;
        let variables = [
            ("MOBULA_OBJECT_STORE_MEMORY", "500MiB"),
            ("MOBULA_SPILL_DIR", "/scratch/mobula"),
            ("MOBULA_STORE_FULL_AFTER", "0.25"),
        ];
        let told = store(Config::new(), &variables);
        assert_eq!((told.limit, told.spill_dir), (500 << 20, PathBuf::from("/scratch/mobula")));
        assert_eq!(told.full_after, Duration::from_millis(250));
        let code = Config::new().object_store_memory(7).spill_dir("/other");
        let told = store(code.store_full_after(Duration::from_secs(3)), &variables);
        assert_eq!((told.limit, told.spill_dir), (7, PathBuf::from("/other")));
        assert_eq!(told.full_after, Duration::from_secs(3));
        let default = store(Config::new(), &[]);
        assert!(default.limit > 0 && default.limit <= memory::available() / 10 * 3);
        assert_eq!(
            (default.spill_dir, default.full_after),
            (default_spill_dir(), STORE_FULL_AFTER)
        );
        for (text, bytes) in [("1000", 1000), ("2KiB", 2048), (" 3 GiB ", 3 << 30)] {
            assert_eq!(store(Config::new(), &[("MOBULA_OBJECT_STORE_MEMORY", text)]).limit, bytes);
        }
        let tracked = |variables: &[_]| resolve(Config::new(), variables).unwrap().track_objects;
        assert!(!tracked(&[]) && tracked(&[("MOBULA_TRACK_OBJECTS", "1")]));
    }

    #[test]
    fn a_seed_is_given_or_another_each_time() {
        let seed = |config, variables: &[_]| resolve(config, variables).unwrap().seed;
        assert_eq!(seed(Config::new().seed(7), &[("MOBULA_SEED", "8")]), 7);
        assert_eq!(seed(Config::new(), &[("MOBULA_SEED", " 8 ")]), 8);
        assert_ne!(seed(Config::new(), &[]), seed(Config::new(), &[]));
    }

    #[test]
    fn senseless_values_are_named_with_what_is_allowed() {
        for (variable, value) in [
            ("MOBULA_NUM_CPUS", "0"),
            ("MOBULA_NUM_CPUS", "many"),
            ("MOBULA_ENGINE", "gpu"),
            ("MOBULA_EVENTS", "maybe"),
            ("MOBULA_EVENT_BUFFER", "0"),
            ("MOBULA_SEED", "-1"),
            ("MOBULA_SEED", "chance"),
            ("MOBULA_WORKER_OUTPUT", "loud"),
            ("MOBULA_OBJECT_STORE_MEMORY", "0"),
            ("MOBULA_OBJECT_STORE_MEMORY", "4 elephants"),
            ("MOBULA_STORE_FULL_AFTER", "soon"),
            ("MOBULA_STORE_FULL_AFTER", "-1"),
            ("MOBULA_TRACK_OBJECTS", "perhaps"),
            ("MOBULA_RESOURCES", "=2"),
            ("MOBULA_RESOURCES", "gpu=1,gpu=2"),
        ] {
            let error = resolve(Config::new(), &[(variable, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let text = error.to_string();
            let value = value.rsplit(',').next().unwrap();
            assert!(text.contains(variable) && text.contains(value), "{text}");
        }
        for (config, setting) in [
            (Config::new().num_cpus(0), "num_cpus"),
            (Config::new().resource("", 1.0), "resource"),
            (Config::new().resource("gpu", 1.0).resource("gpu", 1.0), "resource \"gpu\""),
        ] {
            let error = resolve(config, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(setting), "{error}");
        }
    }

    #[test]
    fn what_the_environment_says_may_be_overruled_or_of_no_use() {
        let code = Config::new().resource("gpu", 2.0);
        let settings = resolve(code, &[("MOBULA_RESOURCES", "gpu=1,licence=0.5")]).unwrap();
        let amounts = settings.resources.iter().map(|(name, amount)| (&name[..], amount.as_f64()));
        assert!(amounts.eq([("gpu", 2.0), ("licence", 0.5)]));
        for config in [Config::new(), Config::new().address("auto")] {
            let settings = resolve(config, &[("MOBULA_ADDRESS", "auto")]).unwrap();
            assert_eq!(settings.engine, Engine::Threads);
        }
        let variables = [("MOBULA_ENGINE", "ray")];
        let settings = resolve(Config::new().address("local"), &variables).unwrap();
        assert_eq!(settings.address.as_deref(), Some("local"));
    }
}
