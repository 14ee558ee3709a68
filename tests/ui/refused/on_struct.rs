use mobula::remote;

#[remote]
struct Counter {
    value: u64,
}

fn main() {
    let counter = Counter { value: 0 };
    let _ = counter.value;
}
