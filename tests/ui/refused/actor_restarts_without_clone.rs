use mobula::remote;

struct Seed(u64);

struct Counter {
    value: u64,
}

#[remote(local, max_restarts = 3)]
impl Counter {
    pub fn new(seed: Seed) -> Self {
        Self { value: seed.0 }
    }

    pub fn value(&self) -> u64 {
        self.value
    }
}

fn main() {
    let counter = Counter::remote(Seed(1));
    let _: u64 = mobula::get(counter.value()).unwrap();
}
