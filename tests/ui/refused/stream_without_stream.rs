use mobula::remote;

#[remote]
fn numbers(n: u64) -> impl Iterator<Item = u64> {
    0..n
}

fn main() {
    let _: mobula::ObjectRef<u64> = numbers::remote(3);
}
