use mobula::remote;

struct Counter {
    value: u64,
}

#[remote]
impl Counter {
    pub fn new(value: u64) -> Self {
        Self { value }
    }

    fn value(&self) -> u64 {
        self.value
    }
}

fn main() {
    Counter::new(1).value();
    Counter::remote(1);
}
