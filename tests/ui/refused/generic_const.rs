use mobula::remote;

#[remote]
fn sum<const N: usize>(values: [u64; N]) -> u64 {
    values.iter().sum()
}

fn main() {
    let _: u64 = mobula::get(sum::remote([1, 2])).unwrap();
}
