use mobula::remote;

struct Counter {
    value: u64,
}

#[remote]
impl Counter {
    pub fn value(&self) -> u64 {
        self.value
    }
}

fn main() {}
