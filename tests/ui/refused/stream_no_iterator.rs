use mobula::remote;

#[remote(stream)]
fn numbers(n: u64) -> Vec<u64> {
    (0..n).collect()
}

fn main() {
    for number in numbers::options().max_unread(2).remote(3) {
        let _: u64 = mobula::get(number).unwrap();
    }
}
