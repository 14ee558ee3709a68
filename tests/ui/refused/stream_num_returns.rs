use mobula::remote;

#[remote(stream, num_returns = 2)]
fn pairs(n: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..n).map(|x| (x, x))
}

fn main() {
    for pair in pairs::remote(3) {
        let _: (u64, u64) = mobula::get(pair).unwrap();
    }
}
