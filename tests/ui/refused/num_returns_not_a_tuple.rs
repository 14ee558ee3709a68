use mobula::remote;

#[remote(num_returns = 2)]
fn identity(value: u64) -> u64 {
    value
}

fn main() {
    let (_a, b) = identity::remote(1);
    let _: u64 = mobula::get(b).unwrap();
    let _: u64 = mobula::get(_a).unwrap();
}
