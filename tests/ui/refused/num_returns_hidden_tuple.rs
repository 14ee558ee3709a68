use mobula::remote;

type Pair = (u64, u64);

#[remote(num_returns = 2)]
fn identity(value: u64) -> Pair {
    (value, value)
}

fn main() {
    let (_a, b) = identity::remote(1);
    let _: u64 = mobula::get(b).unwrap();
    let _: u64 = mobula::get(_a).unwrap();
}
