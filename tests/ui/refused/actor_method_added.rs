use mobula::remote;

struct Counter {
    value: u64,
}

#[remote]
impl Counter {
    pub fn new(value: u64) -> Self {
        Self { value }
    }

    pub fn value(&self) -> u64 {
        self.value
    }

    pub fn options(&self) -> u64 {
        self.value
    }
}

fn main() {}
