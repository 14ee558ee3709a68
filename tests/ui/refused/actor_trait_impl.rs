use mobula::remote;

#[derive(Clone)]
struct Counter;

trait Count {
    fn count(&self) -> u64;
}

#[remote]
impl Count for Counter {
    fn count(&self) -> u64 {
        0
    }
}

fn main() {
    Counter.count();
}
