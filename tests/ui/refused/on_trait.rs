use mobula::remote;

#[remote]
trait Count {
    fn count(&self) -> u64;
}

fn main() {}
