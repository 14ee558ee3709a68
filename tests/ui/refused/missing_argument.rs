use mobula::remote;

#[remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn main() {
    add::remote(1);
}
