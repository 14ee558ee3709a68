use mobula::remote;

struct Step(u64);

struct Counter {
    value: u64,
}

#[remote]
impl Counter {
    pub fn new(by: Step) -> Result<Self, String> {
        Ok(Self { value: by.0 })
    }

    pub fn value(&self) -> u64 {
        self.value
    }
}

fn main() {
    Counter::remote(Step(1)).value();
}
