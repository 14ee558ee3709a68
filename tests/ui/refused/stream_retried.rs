use mobula::remote;

#[remote(stream, max_retries = 3)]
fn numbers(n: u64) -> impl Iterator<Item = u64> {
    0..n
}

fn main() {
    for number in numbers::remote(3) {
        let _: u64 = mobula::get(number).unwrap();
    }
}
