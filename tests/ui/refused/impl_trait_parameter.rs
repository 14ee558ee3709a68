use mobula::remote;

#[remote]
fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.sum()
}

fn main() {
    let _: u64 = mobula::get(total::remote(0..3)).unwrap();
}
