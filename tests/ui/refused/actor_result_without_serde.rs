use mobula::remote;

struct Step(u64);

struct Counter {
    value: u64,
}

#[remote]
impl Counter {
    pub fn new(value: u64) -> Self {
        Self { value }
    }

    pub fn value(&self) -> Step {
        Step(self.value)
    }
}

fn main() {
    Counter::remote(1).value();
}
