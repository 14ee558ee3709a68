use mobula::remote;

struct Counter {
    value: u64,
}

#[remote]
impl Counter {
    pub fn new(value: &mut u64) -> Self {
        Self { value: *value }
    }

    pub fn value(&self) -> u64 {
        self.value
    }
}

fn main() {
    let counter = Counter::options().name("c").remote(1);
    let _: u64 = mobula::get(counter.value()).unwrap();
}
