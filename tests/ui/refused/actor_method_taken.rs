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

    pub fn clone(&self) -> Self {
        Self { value: self.value }
    }

    pub fn into(&self) -> u64 {
        self.value
    }

    pub fn try_into(&self) -> u64 {
        self.value
    }
}

fn main() {
    let counter = Counter::remote(1);
    let _: u64 = mobula::get(counter.value()).unwrap();
}
