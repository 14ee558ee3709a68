use mobula::remote;

#[remote]
fn squares(n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(|i| i * i)
}

fn main() {
    let _: Vec<u64> = mobula::get(squares::remote(3)).unwrap();
}
