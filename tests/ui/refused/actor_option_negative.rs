use mobula::remote;

struct Counter {
    value: u64,
}

#[remote(num_cpus = -1)]
impl Counter {
    pub fn new(value: u64) -> Self {
        Self { value }
    }

    pub fn value(&self) -> u64 {
        self.value
    }
}

fn main() {
    let counter = Counter::remote(1);
    let _: u64 = mobula::get(counter.value()).unwrap();
}
