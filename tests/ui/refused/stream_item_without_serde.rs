use mobula::remote;

#[derive(Clone)]
struct Bare;

#[remote(stream)]
fn bare(n: usize) -> impl Iterator<Item = Bare> {
    std::iter::repeat_n(Bare, n)
}

fn main() {
    for bare in bare::remote(3) {
        let _: Bare = mobula::get(bare).unwrap();
    }
}
