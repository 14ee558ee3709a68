//! What a call asks for beside its arguments: now and then, and any of it together.

use std::time::Duration;

use crate::random::Random;

/// Options that the program wishes for one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) cpus: Option<f64>,
    pub(crate) gpus: Option<f64>,
    pub(crate) priority: Option<i32>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) name: Option<&'static str>,
}

/// What there is of the resource that tasks ask for.
pub(crate) const GPUS: f64 = 2.0;
/// Time limits: one that passes at once, and one that never does.
const AT_ONCE: Duration = Duration::from_nanos(1);
const NEVER: Duration = Duration::from_secs(86_400);

impl Wish {
    /// Most calls wish for nothing.
    pub(crate) fn at_random(random: &mut Random, cpus: usize) -> Option<Self> {
        if !random.one_in(4) {
            return None;
        }
        let mut wish = Self::default();
        if random.one_in(2) {
            let whole = 1 + random.index(cpus);
            wish.cpus = Some([0.0, 0.001, 0.25, 0.5, 0.75, whole as f64][random.index(6)]);
        }
        if random.one_in(4) {
            wish.gpus = Some([0.001, 0.5, 1.0, GPUS][random.index(4)]);
        }
        if random.one_in(3) {
            wish.priority = Some([-2, -1, 1, 7][random.index(4)]);
        }
        if random.one_in(6) {
            wish.time_limit = Some(if random.one_in(4) { AT_ONCE } else { NEVER });
        }
        if random.one_in(4) {
            wish.name = Some("named");
        }
        Some(wish)
    }

    /// What a task may ask for that waits for others: they could need the resource that it holds.
    pub(crate) fn without_gpus(self) -> Self {
        Self { gpus: None, ..self }
    }

    /// What an `async fn` may ask for, which computes on no CPU of the pool.
    pub(crate) fn without_cpus(self) -> Self {
        Self { cpus: None, ..self }
    }

    /// Whether its time may have passed before it is done.
    pub(crate) fn may_run_out(&self) -> bool {
        self.time_limit == Some(AT_ONCE)
    }
}

/// Calls `function` as its wish says.
macro_rules! call_as {
    ($wish:expr, $function:ident($($argument:expr),*)) => {{
        $crate::meter::call();
        match &$wish {
            None => $function::remote($($argument),*),
            Some($crate::wish::Wish { cpus, gpus, priority, time_limit, name }) => {
                let mut options = $function::options();
                if let Some(cpus) = *cpus {
                    options = options.num_cpus(cpus);
                }
                if let Some(gpus) = *gpus {
                    options = options.resource("gpu", gpus);
                }
                if let Some(priority) = *priority {
                    options = options.priority(priority);
                }
                if let Some(limit) = *time_limit {
                    options = options.timeout(limit);
                }
                if let Some(name) = *name {
                    options = options.name(name);
                }
                options.remote($($argument),*)
            }
        }
    }};
}
pub(crate) use call_as;
