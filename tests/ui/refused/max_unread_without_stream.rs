use mobula::remote;

#[remote(max_unread = 3)]
fn square(x: u64) -> u64 {
    x * x
}

fn main() {
    let _: u64 = mobula::get(square::remote(3)).unwrap();
}
